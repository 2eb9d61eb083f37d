"""Pages of results, read back."""

import html.parser


class Reader(html.parser.HTMLParser):
    """Checks that tags close in order, and keeps list items, images, cells and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.items, self.images, self.links = [], [], [], []
        self.rows = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.links += [attrs[k] for k in ("src", "href") if k in attrs]
        if tag == "li" and attrs.get("class") in ("right", "wrong"):
            self.items.append([attrs["class"], ""])
        if tag == "tr":
            self.rows.append([])
        if tag == "img":
            self.images.append(attrs)
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "li" in self.open and self.items:
            self.items[-1][1] += data
        if self.open and self.open[-1] in ("th", "td"):
            self.rows[-1].append(data)
