"""A page of what was prepared."""


def add_arguments(parser):
    pass


def run(args):
    pass
