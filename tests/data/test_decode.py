import errno
import multiprocessing
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from app.config import make_config
from app.data import cache, decode, folders
from app.data.cache import STALE_SECONDS, cache_folder, cached
from app.data.registry import load_data
from app.data.spec import Pictures
from app.errors import UserError
from tests.data.photos import encoded, photo, source_of, write_classes

SIZE = (16, 20)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch):
    """The pictures that were decoded, as they are."""
    seen = []
    load = decode.load_picture
    monkeypatch.setattr(decode, "load_picture", lambda picture, shape: seen.append(picture) or load(picture, shape))
    return seen


def ignore(line):
    pass


def made(count=40, seed=0):
    images = np.stack([photo(seed + i, *SIZE) for i in range(count)])
    return source_of(images, np.arange(count) % 2, fingerprint=f"made {seed}")


def load(folder):
    return decode.decode(folders.load(folder, 0), 8, 8, ignore)


def test_a_second_load_decodes_nothing(tmp_path, decoded):
    folder = write_classes(tmp_path / "set", cats=9, dogs=9)
    first = load(folder)
    assert len(decoded) == 18
    second = load(folder)
    assert len(decoded) == 18
    for name in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(first, name).images, getattr(second, name).images)
        np.testing.assert_array_equal(getattr(first, name).labels, getattr(second, name).labels)


def test_changed_data_is_decoded_anew(tmp_path, decoded):
    folder = write_classes(tmp_path / "set", cats=9, dogs=9)
    load(folder)
    (folder / "cats" / "000.png").write_bytes(encoded(photo(99, 12, 16)))
    dataset = load(folder)
    assert len(decoded) == 36
    new = decode.load_picture(encoded(photo(99, 12, 16)), (8, 8, 3))
    assert any((new == picture).all() for split in (dataset.train, dataset.val, dataset.test) for picture in split.images)


def test_another_size_or_split_is_decoded_anew(tmp_path, decoded):
    folder = write_classes(tmp_path / "set", cats=9, dogs=9)
    for count, (side, seed) in enumerate([(8, 0), (9, 0), (8, 1)], start=1):
        decode.decode(folders.load(folder, seed), side, side, ignore)
        assert len(decoded) == 18 * count


def test_what_was_left_out_is_still_told_by_the_second_load(tmp_path):
    folder = write_classes(tmp_path / "set", cats=9, dogs=9)
    (folder / "cats" / "bad.png").write_text("words")
    assert [str(item) for item in load(folder).left_out] == [str(item) for item in load(folder).left_out]
    assert str(load(folder).left_out[0]) == "cats/bad.png: not a picture"


def test_decoded_pictures_lie_in_a_memory_map_and_cannot_be_changed():
    dataset = decode.decode(made(), *SIZE, ignore)
    assert isinstance(dataset.train.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        dataset.train.images[0] = 0


def test_more_pictures_than_a_block_keep_their_order_around_those_left_out(monkeypatch):
    monkeypatch.setattr(decode, "BLOCK", 7)
    images = np.stack([photo(i, *SIZE) for i in range(60)])
    source = made(60)
    bad = {3, 6, 7, 20, 41}
    train = source.splits["train"]
    numbers = [int(name.split()[1]) for name in train.names]
    mixed = Pictures(lambda i: b"" if i in bad else encoded(images[numbers[i]]), train.labels, train.names)
    source = SimpleNamespace(**{**vars(source), "splits": {**source.splits, "train": mixed}})
    dataset = decode.decode(source, *SIZE, ignore)
    good = [i for i in range(len(train)) if i not in bad]
    np.testing.assert_array_equal(dataset.train.images, images[[numbers[i] for i in good]])
    np.testing.assert_array_equal(dataset.train.labels, train.labels[good])
    assert [item.path for item in dataset.left_out] == [train.names[i] for i in sorted(bad)]


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), MemoryError()])
def test_an_entry_that_was_not_finished_is_never_seen(own_cache, monkeypatch, failure):
    wrote = []

    def stop(images):
        wrote.extend(sorted(path.name for path in own_cache.glob(".made-*/*")))
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(decode, "count_in_two_splits", stop)
        with pytest.raises(type(failure)):
            decode.decode(made(), *SIZE, ignore)
    assert "train_images.npy" in wrote
    assert list(own_cache.iterdir()) == []
    assert len(decode.decode(made(), *SIZE, ignore).train) == 30


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_ends_with_an_error_that_can_be_told_and_leaves_nothing(own_cache, monkeypatch):
    opened = Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, *mode: opened(Path("/dev/full") if path.name == "val_images.npy" else path, *mode)
    )
    with pytest.raises(OSError, match="No space left") as error:
        decode.decode(made(), *SIZE, ignore)
    assert error.value.errno == errno.ENOSPC
    assert list(own_cache.iterdir()) == []


def test_room_is_checked_before_anything_is_decoded(own_cache, monkeypatch):
    source = made(40)
    needed = 40 * SIZE[0] * SIZE[1] * 3
    monkeypatch.setattr(decode, "_pixels", lambda *_: pytest.fail("it was decoded"))
    monkeypatch.setattr("app.runs.shutil.disk_usage", lambda folder: SimpleNamespace(free=needed - 1))
    with pytest.raises(UserError, match=f"{own_cache} has .* MiB free, and .* MiB are needed"):
        decode.decode(source, *SIZE, ignore)
    assert list(own_cache.iterdir()) == []


def test_just_enough_room_is_enough(monkeypatch):
    monkeypatch.setattr("app.runs.shutil.disk_usage", lambda folder: SimpleNamespace(free=40 * SIZE[0] * SIZE[1] * 3))
    assert len(decode.decode(made(40), *SIZE, ignore).train) == 30


def test_a_cache_that_cannot_be_written_is_told_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CONVOY_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match=r"cannot write the cache .*file/cache \(Not a directory\); set CONVOY_CACHE to another"):
        decode.decode(made(), *SIZE, ignore)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_cache_without_permission_is_told_in_one_line(own_cache):
    own_cache.mkdir(mode=0o500)
    with pytest.raises(UserError, match="cannot write the cache"):
        decode.decode(made(), *SIZE, ignore)


def test_the_cache_lies_in_the_home_folder_unless_told_otherwise(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.setenv("CONVOY_CACHE", "")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cache_folder() == tmp_path / ".cache" / "convoy"


def test_the_slower_of_two_that_fill_at_once_uses_what_the_faster_made(own_cache):
    def slow(folder):
        cached("key", lambda other: (other / "made by").write_text("the faster"))
        (folder / "made by").write_text("the slower")

    assert (cached("key", slow) / "made by").read_text() == "the faster"
    assert [path.name for path in own_cache.iterdir()] == ["key"]


def _fill_together(folder, barrier, results):
    def fill(partial):
        barrier.wait(60)
        for number in range(50):
            (partial / str(number)).write_text(str(os.getpid()))
        barrier.wait(60)

    os.environ["CONVOY_CACHE"] = str(folder)
    place = cached("key", fill)
    results.put(sorted({file.read_text() for file in place.iterdir()}))


def test_two_processes_may_fill_at_once(own_cache):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_fill_together, args=(own_cache, barrier, results)) for _ in range(2)]
    for process in processes:
        process.start()
    seen = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    assert seen[0] == seen[1]
    assert len(seen[0]) == 1  # one of them made the whole entry
    assert [path.name for path in own_cache.iterdir()] == ["key"]


def test_what_a_killed_process_left_is_removed_after_a_day(own_cache):
    for name, age in ((".key.old", STALE_SECONDS + 60), (".key.new", 60), (".other.old", STALE_SECONDS + 60)):
        (own_cache / name).mkdir(parents=True)
        os.utime(own_cache / name, (time.time() - age,) * 2)
    cached("key", lambda folder: None)
    assert sorted(path.name for path in own_cache.iterdir()) == [".key.new", ".other.old", "key"]


def test_a_failing_rename_is_not_taken_for_success(own_cache, monkeypatch):
    def fail(path, target):
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(cache.Path, "rename", fail)
    with pytest.raises(OSError, match="broken disk"):
        cached("key", lambda folder: None)
    assert list(own_cache.iterdir()) == []


def test_an_entry_can_be_deleted_at_any_time(tmp_path, own_cache):
    folder = write_classes(tmp_path / "set", cats=9, dogs=9)
    load(folder)
    shutil.rmtree(own_cache)
    assert len(load(folder).test) == 3


def test_a_warning_counts_pictures_in_two_splits(tmp_path):
    folder = write_classes(tmp_path / "set", **{"train/a": 8, "train/b": 8, "val/a": 2, "val/b": 2, "test/a": 2, "test/b": 2})
    shutil.copy(folder / "train" / "a" / "000.png", folder / "test" / "a" / "copy.png")
    lines = []
    dataset = load_data(make_config("lenet5", str(folder), {"image_size": 32}), lines.append)
    assert dataset.in_two_splits == {"equal": 1, "near": 0}
    assert any("1 equal, 0 nearly" in line for line in lines)
