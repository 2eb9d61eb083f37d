"""The process that reads what may crash: whatever happens there is the file's error."""

import dataclasses
import io
import os
import pathlib
import signal
import sys
import threading
import time

import failing_readers
import numpy as np
import pytest

from motionalign.formats.motion import Motion
from motionalign.formats.worker import Limits, Worker, receive, send

LIMITS = Limits(seconds=20, memory=1 << 30)


@pytest.fixture(scope="module")
def worker():
    worker = Worker((failing_readers.__file__,))
    yield worker
    worker.close()


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "wålk.c3d"
    path.write_bytes(b"anything")
    return path


def pid(worker, path):
    [motion] = worker.read("process", path, LIMITS)
    return int(motion.joint_names[0])


def test_takes_arrive_as_they_were_sent(worker, path):
    sent = failing_readers.good(path)
    for motion, expected in zip(worker.read("good", path, LIMITS), sent, strict=True):
        for name in vars(expected):
            value = getattr(motion, name)
            np.testing.assert_array_equal(value, getattr(expected, name), err_msg=name)
            assert type(value) is type(getattr(expected, name)), name
        assert motion.positions.flags.writeable


def test_all_fields_were_sent(path):
    """A field that the message above leaves at its default would not be tested."""
    sent = failing_readers.good(path)[0]
    for field in dataclasses.fields(Motion):
        if field.name != "declared" and field.default is not dataclasses.MISSING:
            assert getattr(sent, field.name) is not field.default, field.name
    assert sent.labels


def test_one_process_reads_many_files(worker, path):
    first = pid(worker, path)
    worker.read("good", path, LIMITS)
    start = time.perf_counter()
    assert {pid(worker, path) for _ in range(20)} == {first}
    assert time.perf_counter() - start < 2
    assert first != os.getpid()


def test_an_error_of_a_reader_leaves_the_process(worker, path):
    first = pid(worker, path)
    with pytest.raises(ValueError, match=r"lk\.c3d, line 3: found that, expected this$"):
        worker.read("refuse", path, LIMITS)
    with pytest.raises(ValueError, match=r"lk\.c3d cannot be read: KeyError: 'key'$"):
        worker.read("fail", path, LIMITS)
    with pytest.raises(ValueError, match=r"lk\.c3d cannot be read: RecursionError"):
        worker.read("nested", path, LIMITS)
    assert pid(worker, path) == first


def test_a_path_is_shown_as_it_was_given(worker, path, monkeypatch):
    monkeypatch.chdir(path.parent)
    with pytest.raises(ValueError, match=r"^wålk\.c3d, line 3"):
        worker.read("refuse", pathlib.Path(path.name), LIMITS)


@pytest.mark.parametrize(
    ("reader", "how"),
    [("fault", "SIGSEGV"), ("abort", "SIGABRT"), ("leave", "exit status 3")],
)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_a_crash_is_the_files_error_and_the_next_is_read(worker, path, reader, how):
    with pytest.raises(ValueError, match=rf"lk\.c3d: its reader crashed \({how}\); the file is"):
        worker.read(reader, path, LIMITS)
    assert len(worker.read("good", path, LIMITS)) == 2


def test_a_reader_that_hangs_is_ended(worker, path):
    first = pid(worker, path)
    start = time.perf_counter()
    with pytest.raises(ValueError, match=r"lk\.c3d: reading it took longer than 1 s"):
        worker.read("hang", path, Limits(1, 1 << 30))
    assert 0.9 < time.perf_counter() - start < 8
    assert pid(worker, path) != first


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps a limit of memory")
@pytest.mark.parametrize("reader", ["memory", "fill"])
def test_a_reader_that_takes_all_memory_is_stopped(worker, path, reader):
    first = pid(worker, path)
    with pytest.raises(ValueError, match=r"lk\.c3d: reading it needed more than 0\.3 GB of mem"):
        worker.read(reader, path, Limits(20, 300 << 20))
    assert pid(worker, path) == first


def test_an_answer_larger_than_the_limit_is_not_taken():
    message = io.BytesIO()
    send(message, {"name": "large"}, [np.ones((10, 3))])
    assert receive(io.BytesIO(message.getvalue()), 239) is None
    assert receive(io.BytesIO(message.getvalue()[:-1]), 240) is None
    head, [array] = receive(io.BytesIO(message.getvalue()), 240)
    assert (head, array.shape) == ({"name": "large"}, (10, 3))


def test_a_process_that_was_ended_from_outside_is_started_anew(worker, path):
    os.kill(pid(worker, path), signal.SIGTERM)
    worker.process.wait()
    assert len(worker.read("good", path, LIMITS)) == 2


def test_an_interrupted_wait_does_not_mix_answers(worker, path, monkeypatch):
    from motionalign.formats import worker as module

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(module, "receive", interrupted)
        worker.process or worker.read("good", path, LIMITS)
        with pytest.raises(KeyboardInterrupt):
            worker.read("process", path, LIMITS)
    assert len(worker.read("good", path, LIMITS)) == 2


def test_threads_take_turns(worker, path):
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(len(worker.read("good", path, LIMITS))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [2] * 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks")
def test_a_fork_starts_its_own(worker, path):
    first = pid(worker, path)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, str(pid(worker, path)).encode())
        worker.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(reader, 100)) != first
    assert pid(worker, path) == first
    os.close(reader)
    os.close(writer)


def test_a_process_that_does_not_start_is_no_error_of_the_file(tmp_path, path):
    script = tmp_path / "broken.py"
    script.write_text("import no_such_module\n")
    with pytest.raises(RuntimeError, match=r"could not be started: .*broken\.py ended \(exit"):
        Worker((str(script),)).read("good", path, LIMITS)


def test_limits_grow_with_the_file():
    small, large = Limits.of(1000), Limits.of(10**9)
    assert small.seconds < 10  # nothing hangs longer
    assert small.memory < 1.1 * (1 << 30)
    assert large.seconds > 100 * small.seconds
    assert large.memory > 30 * 10**9
