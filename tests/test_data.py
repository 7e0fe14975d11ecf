import importlib.util
import os
import pickle
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from sklearn.datasets import load_digits

from lib import data, run


def script(name):
    spec = importlib.util.spec_from_file_location(name, run.ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(path, n=6, side=4, channels=3, **changes):
    rng = np.random.default_rng(0)
    shape = (n, side, side, channels)[: 4 if channels else 3]
    arrays = {"images": rng.integers(0, 256, shape, dtype=np.uint8), "labels": np.arange(n) % 3,
              "classes": np.array(["a", "b", "c"])} | changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return arrays


# --- embedded sets ---


@pytest.mark.parametrize(("name", "shape", "classes", "least"), [
    ("digits", (1, 8, 8), 10, (1400, 300)), ("faces", (1, 25, 25), 1, (50, 32)),
    ("photos", (3, 32, 32), 10, (300, 100)),
])  # fmt: skip
def test_embedded_sets_are_whole_and_deterministic(name, shape, classes, least):
    train, test = (data.load(name, split) for split in ("train", "test"))
    for images, count in zip((train, test), least, strict=True):
        assert images.shape == shape and images.num_classes == classes and len(images) >= count
        assert images.images.dtype == torch.uint8 and images.labels.dtype == torch.int64
        assert images.name == name and data.shareable(name)
    assert torch.equal(test.images, data.load(name).images)
    pixels = train.images.double() / 255
    assert torch.allclose(test.mean.double(), pixels.mean(dim=(0, 2, 3)), atol=1e-6)
    assert torch.allclose(test.std.double(), pixels.std(dim=(0, 2, 3), correction=0), atol=1e-6)
    assert torch.equal(train.mean, test.mean)


def test_digits_are_all_there_once_and_span_the_grey_scale():
    parts = [data.load("digits", split) for split in ("train", "test")]
    pixels = torch.cat([part.images for part in parts])
    assert len(pixels) == 1797 and pixels.max() == 255 and pixels.min() == 0
    truth = np.round(load_digits().images * 255 / 16)
    as_rows = [np.sort(rows.reshape(1797, -1), axis=0) for rows in (pixels.numpy(), truth)]
    assert np.array_equal(*as_rows)
    assert parts[0].labels.bincount().tolist() == [140] * 10


@pytest.mark.parametrize("name", ["digits", "photos"])
def test_the_first_ten_are_one_of_each_class(name):
    assert data.load(name).labels[:10].tolist() == list(range(10))


@pytest.mark.parametrize("size", [(512, 512), (600, 400), (451, 300), (1411, 1411), (1000, 872)])
def test_photo_crops_of_train_and_test_share_no_pixel(size):
    covered = {}
    for split in ("train", "test"):
        covered[split] = np.zeros(size, dtype=bool)
        for x, y, side in data.photo_tiles(*size, split):
            assert 0 <= x and x + side <= size[0] and 0 <= y and y + side <= size[1]
            covered[split][x : x + side, y : y + side] = True
    assert covered["train"].any() and covered["test"].any()
    assert not (covered["train"] & covered["test"]).any()


def test_photo_crops_show_something_and_classes_are_balanced():
    photos = data.load("photos")
    assert (photos.images.float().mean(1).std(dim=(1, 2)) > 0.02 * 255).all()
    assert len(set(photos.labels.bincount().tolist())) == 1
    assert photos.classes[0] == "astronaut" and photos.classes[-1] == "flower"
    assert data.load("photos", size=48).shape == (3, 48, 48)


# --- clients ---


def test_clients_hold_pixels_of_the_set():
    photos = data.load("photos")
    batch = photos.clients(3, 2, seed=1)
    assert batch.images.shape == (3, 2, 3, 32, 32) and batch.images.dtype == torch.float32
    assert torch.equal(batch.images, photos.images[batch.indices].float() / 255)
    assert torch.equal(batch.labels, photos.labels[batch.indices])
    assert (batch.name, batch.num_classes) == ("photos", 10)
    assert torch.equal(batch.mean, photos.mean) and torch.equal(batch.std, photos.std)


def test_a_client_does_not_depend_on_how_many_there_are():
    digits = data.load("digits")
    for unique in (False, True):
        few, many = (digits.clients(K, 4, seed=3, unique_labels=unique) for K in (2, 60))
        assert torch.equal(few.indices, many.indices[:2])
        assert many.indices.flatten().unique().numel() == 240  # without replacement
    assert not torch.equal(digits.clients(2, 4, seed=4).indices, few.indices)


def test_a_set_that_is_used_up_is_dealt_anew():
    batch = data.load("faces").clients(30, 4)
    assert all(len(row.unique()) == 4 for row in batch.indices)
    assert batch.indices[:12].unique().numel() == 48


def test_unique_labels():
    batch = data.load("digits").clients(50, 10, unique_labels=True)
    assert all(sorted(row.tolist()) == list(range(10)) for row in batch.labels)


def test_chosen_indices_flat_or_in_rows():
    digits = data.load("digits")
    flat = digits.clients(2, 3, indices=range(6))
    rows = digits.clients(2, 3, indices=[[0, 1, 2], [3, 4, 5]])
    assert torch.equal(flat.images, rows.images) and flat.labels.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(("options", "message"), [
    ({"K": 0}, "K must be a whole"), ({"K": 2, "batch_size": 0}, "batch_size must be a whole"),
    ({"K": 2.0}, "K must be"), ({"K": True}, "K must be"), ({"K": "2"}, "K must be"),
    ({"K": 1, "batch_size": None}, "batch_size must"), ({"K": 1, "seed": 0.5}, "seed must be"),
    ({"K": 1, "seed": -1}, "seed must be"), ({"K": 1, "seed": "0"}, "seed must be"),
    ({"K": 1, "unique_labels": "no"}, "unique_labels must be True or False"),
    ({"K": 10**9, "batch_size": 300}, "GiB of memory"),
    ({"K": 1, "indices": [True]}, "of a mask"), ({"K": 1, "indices": "7"}, "whole numbers"),
    ({"K": 1, "indices": [[0], [1, 2]]}, "whole numbers"), ({"K": 1, "indices": [None]}, "whole"),
    ({"K": 1, "batch_size": 1000}, "has 397 images"),
    ({"K": 1, "batch_size": 11, "unique_labels": True}, "10 different labels"),
    ({"K": 1, "indices": [397]}, r"0\.\.396"), ({"K": 1, "indices": [-1]}, r"0\.\.396"),
    ({"K": 1, "indices": [0.5]}, "whole numbers"), ({"K": 1, "indices": []}, "whole numbers"),
    ({"K": 2, "batch_size": 2, "indices": [0, 1, 2]}, "not K=2 x B=2"),
    ({"K": 1, "batch_size": 2, "indices": [0, 10], "unique_labels": True}, "repeat a label"),
])  # fmt: skip
def test_clients_refuse_what_does_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        data.load("digits").clients(**options)


def test_relabel_and_subset():
    faces = data.load("faces")
    named = faces.relabel(20, seed=1)
    assert named.num_classes == 20 and named.labels.max() < 20
    assert named.labels.unique().numel() > 10
    assert torch.equal(named.labels, faces.relabel(20, seed=1).labels)
    assert not torch.equal(named.labels, faces.relabel(20, seed=2).labels)
    few = faces.subset([4, 2])
    assert torch.equal(few.images, faces.images[[4, 2]]) and torch.equal(few.mean, faces.mean)


@pytest.mark.parametrize(("call", "words"), [
    (lambda d: d.relabel(0), "classes must be a whole number"),
    (lambda d: d.relabel(2.5), "classes must be"), (lambda d: d.relabel(["a"]), "classes must be"),
    (lambda d: d.relabel(4, seed="a"), "seed must be"), (lambda d: d.relabel(4, -1), "seed must"),
    (lambda d: d.subset([]), r"0\.\.396"), (lambda d: d.subset([400]), r"0\.\.396"),
    (lambda d: d.subset(slice(3)), "whole numbers"), (lambda d: d.subset(None), "whole numbers"),
    (lambda d: d.subset(d.labels == 1), "of a mask"), (lambda d: d.subset([0.0]), "whole numbers"),
    (lambda d: d.subset([[0, 1]]), "N, C, H, W"), (lambda d: d.keep("3"), "list of different name"),
    (lambda d: d.keep([]), "list of different names"), (lambda d: d.keep([3]), "list of different"),
    (lambda d: d.keep(["3", "3"]), "list of different"), (lambda d: d.keep(["x"]), "no classes"),
    (lambda d: d.subset([0]).keep(["3"]), "no images of 3"),
])
def test_parts_of_a_set_that_cannot_be_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call(data.load("digits"))


@pytest.mark.parametrize(("changes", "words"), [
    ({"images": torch.zeros(2, 1, 3, 3)}, r"uint8, not torch.float32: .* \(255 \* images\).round"),
    ({"images": torch.zeros(2, 3, 3, dtype=torch.uint8)}, "N, C, H, W"),
    ({"images": [[0]]}, "images must be a tensor, not list"),
    ({"labels": torch.tensor([0.0, 1.0])}, "labels must be whole numbers"),
    ({"labels": torch.tensor([True, False])}, "labels must be whole numbers"),
    ({"labels": torch.tensor([0, 2])}, r"0\.\.1"), ({"labels": torch.tensor([[0], [1]])}, "labels"),
    ({"labels": [0, 1]}, "labels must be a tensor"), ({"classes": "ab"}, "list of different names"),
    ({"classes": ["a", "a"]}, "different names"), ({"classes": ["a", 1]}, "different names"),
    ({"classes": []}, "different names"), ({"mean": None}, "mean must be of shape"),
    ({"std": torch.zeros(1)}, "std above 0"), ({"std": torch.tensor([torch.nan])}, "std is that"),
    ({"mean": torch.tensor([127.5])}, "mean is that of pixels in"),
    ({"mean": torch.zeros(3)}, r"mean must be of shape \(1,\), one value a channel"),
])
def test_an_image_set_made_by_hand_is_checked(changes, words):
    good = {"images": np.zeros((2, 1, 3, 3), np.uint8), "labels": np.array([0, 1], np.uint8),
            "classes": ("a", "b"), "mean": [0.5], "std": np.array([0.25]), "name": "own"}
    images = data.ImageSet(**good)
    assert images.labels.dtype == torch.int64 and images.classes == ["a", "b"]
    assert images.images.dtype == torch.uint8 and images.std.item() == 0.25
    with pytest.raises(ValueError, match=words):
        data.ImageSet(**good | changes)


@pytest.mark.parametrize(("changes", "message"), [
    ({"images": torch.full((1, 2, 1, 3, 3), 1.5)}, r"\[0, 1\], not \[1.5, 1.5\]"),
    ({"images": torch.full((1, 2, 1, 3, 3), -0.1)}, r"\[0, 1\]"),
    ({"images": torch.full((1, 2, 1, 3, 3), torch.nan)}, "finite"),
    ({"images": torch.zeros(1, 2, 1, 3, 3, dtype=torch.uint8)}, "float"),
    ({"images": torch.zeros(2, 1, 3, 3)}, "K, B, C, H, W"),
    ({"images": torch.zeros(0, 2, 1, 3, 3)}, "K, B, C, H, W"),
    ({"labels": torch.tensor([[0, 4]])}, r"0\.\.3"), ({"labels": torch.tensor([[0, -1]])}, "0"),
    ({"labels": torch.zeros(1, 2)}, "int64"), ({"labels": torch.tensor([0, 1])}, "int64"),
    ({"labels": torch.tensor([[2.7, 0]])}, "labels must be whole"), ({"labels": [[0, 3]]}, "list"),
    ({"labels": torch.tensor([[True, False]])}, "labels must be whole numbers"),
    ({"labels": np.array([["0", "3"]])}, "labels cannot become a tensor"),
    ({"num_classes": True}, "num_classes must be"), ({"num_classes": 4.0}, "num_classes must be"),
    ({"num_classes": 0}, "num_classes must be"), ({"num_classes": "4"}, "num_classes must be"),
    ({"images": torch.rand(1, 2, 1, 3, 3).tolist()}, "images must be a tensor"),
    ({"images": torch.zeros(1, 2, 1, 3, 3, dtype=torch.complex64)}, "float"),
    ({"images": torch.ones(1, 2, 1, 3, 3, dtype=torch.bool)}, "float"),
    ({"indices": torch.zeros(1, 2)}, "indices must be whole"), ({"indices": [[0, 1]]}, "indices"),
    ({"indices": torch.tensor([[0, -1]])}, "indices must be of shape"),
    ({"mean": torch.zeros(3)}, "mean"), ({"indices": torch.tensor([0, 1])}, "indices"),
    ({"mean": torch.tensor([114.0])}, "mean is that of pixels in"), ({"mean": "grey"}, "mean must"),
    ({"mean": torch.tensor([-0.1])}, "mean is"), ({"mean": torch.tensor([torch.nan])}, "mean is"),
    ({"std": torch.tensor([0.0])}, "std above 0"), ({"std": torch.tensor([57.0])}, "std is that"),
    ({"std": torch.tensor([torch.inf])}, "std is that"), ({"std": 0.5}, "std must be of shape"),
])  # fmt: skip
def test_a_batch_made_by_hand_is_checked(changes, message):
    good = {"images": torch.rand(1, 2, 1, 3, 3), "labels": torch.tensor([[0, 3]]),
            "num_classes": 4}
    batch = data.Batch(**good)
    assert batch.indices.tolist() == [[0, 1]] and batch.mean.item() == 0 and batch.std.item() == 1
    with pytest.raises(ValueError, match=message):
        data.Batch(**good | changes)


def test_arrays_and_other_whole_numbers_become_tensors():
    pixels = torch.rand(1, 2, 3, 4, 4, requires_grad=True)
    batch = data.Batch(pixels, torch.tensor([[0, 3]], dtype=torch.uint8), np.int64(4),
                       np.array([[5, 6]]), [0.5, 0.4, 0.3], np.array([0.2, 0.2, 0.1]))
    assert torch.equal(batch.images, pixels) and not batch.images.requires_grad
    assert batch.labels.dtype == batch.indices.dtype == torch.int64
    assert batch.labels.tolist() == [[0, 3]] and batch.indices.tolist() == [[5, 6]]
    assert batch.mean.shape == batch.std.shape == (3,) and batch.mean[0] == 0.5
    same = data.Batch(pixels.detach().numpy(), np.array([[0, 3]]), 4)
    assert torch.equal(same.images, batch.images) and torch.equal(same.labels, batch.labels)


# --- packed sets ---


def test_packed_set_with_continuations_and_exact_rows(tmp_path):
    first = write(tmp_path / "mine-test.npz", exact=np.array([1, 1, 0, 1, 1, 1], dtype=bool))
    second = write(tmp_path / "mine-test-2.npz", n=3)
    third = write(tmp_path / "mine-test-3.npz", n=2)
    mine = data.load("mine", root=tmp_path)
    kept = np.concatenate([np.delete(first["images"], 2, 0), second["images"], third["images"]])
    assert np.array_equal(mine.images.numpy(), kept.transpose(0, 3, 1, 2))
    assert mine.labels.tolist() == [0, 1, 0, 1, 2, 0, 1, 2, 0, 1]
    assert (mine.classes, mine.name) == (["a", "b", "c"], "mine")
    assert not data.shareable("mine") and not data.shareable("lfw") and data.shareable("cifar10")
    by_path = data.load(tmp_path / "mine-test.npz")
    assert torch.equal(by_path.images, mine.images)
    (tmp_path / "mine-test-2.npz").unlink()
    with pytest.raises(ValueError, match="mine-test-2.npz"):
        data.load("mine", root=tmp_path)


def test_mean_and_std_come_from_the_train_split(tmp_path):
    train = write(tmp_path / "mine-train.npz", n=9, channels=0)
    write(tmp_path / "mine-test.npz", channels=0, images=np.zeros((6, 4, 4), dtype=np.uint8))
    mine = data.load("mine", root=tmp_path)
    assert mine.shape == (1, 4, 4)
    assert mine.mean.item() == pytest.approx(train["images"].mean() / 255, abs=1e-6)
    assert mine.std.item() == pytest.approx(train["images"].std() / 255, abs=1e-6)
    blank = data.load(tmp_path / "mine-test.npz")
    assert blank.mean.item() == 0 and blank.std.item() > 0  # nothing divides by zero


def test_resizing_is_by_area_of_the_central_square(tmp_path):
    images = np.zeros((1, 4, 6, 1), dtype=np.uint8)
    images[0, :2, 1:3] = 200
    images[0, :, 0] = 255  # cut away
    write(tmp_path / "wide-test.npz", images=images, labels=np.array([0]))
    small = data.load("wide", root=tmp_path, size=2)
    assert small.images.tolist() == [[[[200, 0], [0, 0]]]]
    assert data.load("wide", root=tmp_path, size=8).shape == (1, 8, 8)


@pytest.mark.parametrize(("changes", "message"), [
    ({"labels": np.array([0, 1, 2, 3, 0, 0])}, r"0\.\.2"),
    ({"labels": np.array([0, 1, -1, 0, 0, 0])}, r"0\.\.2"),
    ({"labels": np.zeros(5, dtype=np.int64)}, "labels"), ({"labels": np.zeros(6)}, "int64"),
    ({"images": np.zeros((6, 4, 4, 3))}, "uint8"),
    ({"images": np.zeros((6, 4), dtype=np.uint8)}, "mine-test.npz"),
    ({"images": np.zeros((0, 4, 4, 3), dtype=np.uint8), "labels": np.zeros(0, int)}, "N, C, H, W"),
    ({"classes": None}, "classes"), ({"exact": np.ones(5, dtype=bool)}, "mine-test.npz"),
    ({"exact": np.zeros(6, dtype=bool)}, "N, C, H, W"),
    ({"exact": np.array([0, 0, 1, 1, 0, 1])}, r"mask of True and False.*astype\(bool\)"),
    ({"exact": np.ones(6)}, "mask of True and False"),
    ({"exact": np.ones((6, 1), dtype=bool)}, "mask of True and False"),
    ({"exact": np.array(True)}, "mask of True and False"),
    ({"images": np.zeros((6, 3, 4, 5), dtype=np.uint8)}, r"save images.transpose\(0, 2, 3, 1\)"),
    ({"images": np.zeros((6, 1, 4, 4), dtype=np.uint8)}, r"transpose\(0, 2, 3, 1\)"),
    ({"images": np.zeros((6, 4, 4, 2), dtype=np.uint8)}, "2 channels on their last axis"),
    ({"images": np.zeros((6, 4, 4, 4), dtype=np.uint8)}, "4 channels on their last axis"),
    ({"images": np.zeros((6, 1, 4, 4, 3), dtype=np.uint8)}, r"\(N, H, W, C\)"),
    ({"images": np.zeros((6, 4, 4, 3), dtype=np.int64)}, "uint8 in 0..255, not int64"),
    ({"images": np.zeros((6, 4, 4, 3), dtype=bool)}, "uint8 in 0..255, not bool"),
    ({"labels": np.zeros((6, 1), dtype=int)}, "labels must be int64"),
    ({"labels": np.array(list("abcabc"))}, "labels"), ({"labels": np.ones(6, bool)}, "whole"),
    ({"classes": np.array(["a", "b", "b"])}, "different names"),
    ({"classes": np.array("abc")}, "mine-test.npz"), ({"classes": np.array([])}, "different names"),
    ({"classes": np.array(["a", "b", None], dtype=object)}, "pickled"),
])  # fmt: skip
def test_a_bad_packed_set_is_named(tmp_path, changes, message):
    write(tmp_path / "mine-test.npz", **changes)
    with pytest.raises(ValueError, match="mine-test.npz") as caught:
        data.load("mine", root=tmp_path)
    caught.match(message)


def test_labels_of_a_packed_set_may_be_any_whole_numbers(tmp_path):
    for kind in (np.uint8, np.int16, np.int32, np.uint64):
        write(tmp_path / "mine-test.npz", labels=np.array([0, 1, 2, 0, 1, 2], dtype=kind))
        mine = data.load("mine", root=tmp_path)
        assert mine.labels.dtype == torch.int64 and mine.labels.tolist() == [0, 1, 2] * 2


def test_what_was_loaded_once_does_not_answer_for_a_file_that_changed(tmp_path):
    write(tmp_path / "mine-test.npz")
    for value in (10, 200):
        write(tmp_path / "mine-train.npz", images=np.full((6, 4, 4, 3), value, np.uint8))
        os.utime(tmp_path / "mine-train.npz", ns=(value, value))
        assert data.load("mine", root=tmp_path).mean[0].item() == pytest.approx(value / 255)
    data.load("photos", size=8).images.zero_()
    assert data.load("photos", size=8).images.any()


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "mine-test.npz"
    write(path)
    whole = path.read_bytes()
    for damage in (whole[: len(whole) // 2], b"", b"not a zip", pickle.dumps({"images": 1})):
        path.write_bytes(damage)
        with pytest.raises(ValueError, match="mine-test.npz is damaged"):
            data.load("mine", root=tmp_path)


def test_what_is_missing_or_unknown_is_named(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="cifar10-test.npz.*`make data` gets it"):
        data.load("cifar10", root=tmp_path)
    with pytest.raises(FileNotFoundError, match="embedded: digits, faces, photos"):
        data.load("nothing", root=tmp_path)
    with pytest.raises(FileNotFoundError, match="none.npz"):
        data.load(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="unknown split 'val'"):
        data.load("digits", "val")
    for size in (0, -1, 2.5, True, "8", (8, 8), 10**6):
        with pytest.raises(ValueError, match="size must be a whole number"):
            data.load("digits", size=size)
    assert data.load("digits", size=np.int64(4)).shape == (1, 4, 4)
    for split in ("Train", "TEST", "", None, 0, ["test"]):
        with pytest.raises(ValueError, match="unknown split"):
            data.load("digits", split)
    for name in ("", None, 3, ["digits"], b"digits"):
        with pytest.raises(ValueError, match="name must be a name or a path"):
            data.load(name)
    with pytest.raises(ValueError, match="root must be a folder"):
        data.load("mine", root=3)
    write(tmp_path / "mine-test.npz")
    with pytest.raises(ValueError, match="split='test'"):
        data.load(tmp_path / "mine-test.npz", "train")
    with pytest.raises(FileNotFoundError, match="mine-train.npz"):
        data.load("mine", "train", root=tmp_path)


# --- folders ---


def folder(root, mode="RGB", sizes=((8, 6), (10, 10))):
    for label, name in enumerate(("cats", "dogs")):
        (root / name).mkdir(parents=True)
        for i, size in enumerate(sizes):
            colour = 40 * label + i if mode == "L" else (40 * label + i, 100, 200)
            Image.new(mode, size, colour).save(root / name / f"{i}.png")
    (root / "cats" / ".hidden").write_text("no image")
    return root


def test_a_folder_of_images(tmp_path):
    folder(tmp_path / "pets")
    for pets in (data.load("pets", root=tmp_path, size=4), data.load(tmp_path / "pets", size=4)):
        assert pets.shape == (3, 4, 4) and pets.labels.tolist() == [0, 0, 1, 1]
        assert pets.classes == ["cats", "dogs"] and pets.name == "pets"
        assert pets.images[3, :, 0, 0].tolist() == [41, 100, 200]
    with pytest.raises(ValueError, match="differ in size.*size="):
        data.load("pets", root=tmp_path)
    with pytest.raises(ValueError, match="no splits"):
        data.load("pets", "train", root=tmp_path, size=4)


def test_grey_folders_have_one_channel(tmp_path):
    grey = data.load(folder(tmp_path / "grey", "L", sizes=((5, 5),)))
    assert grey.shape == (1, 5, 5) and grey.images[1, 0, 0, 0] == 40


def test_unreadable_and_empty_folders(tmp_path):
    pets = folder(tmp_path / "pets")
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(pets / "dogs" / "1.png")
    whole = (pets / "dogs" / "1.png").read_bytes()
    for damage in (whole[: len(whole) // 2], whole[:40], b"no image"):
        (pets / "dogs" / "1.png").write_bytes(damage)
        with pytest.raises(ValueError, match=r"dogs.1\.png cannot be read"):
            data.load(pets, size=4)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="one sub-folder a class"):
        data.load(tmp_path / "empty")


RAMP = np.linspace(0, 65535, 1024).round().astype(np.uint16).reshape(32, 32)  # all of 16 bits
GREY = np.round(RAMP / 257).astype(np.uint8)
COLOURS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def one_image(root, image, name="1.png", **options):
    """A folder of one class with one image, loaded: (C, H, W)."""
    (root / "set" / "a").mkdir(parents=True)
    image.save(root / "set" / "a" / name, **options)
    return data.load(root / "set").images[0]


@pytest.mark.parametrize("name", ["1.png", "1.tif"])
@pytest.mark.parametrize("byte_order", ["<u2", ">u2"])
def test_sixteen_bits_are_rescaled(tmp_path, name, byte_order):
    read = one_image(tmp_path, Image.fromarray(RAMP.astype(byte_order)), name)
    assert torch.equal(read, torch.tensor(GREY)[None])
    assert read.float().mean() == pytest.approx(127.5, abs=0.1)


def test_sixteen_bits_of_a_pgm_are_rescaled(tmp_path):
    (tmp_path / "a").mkdir()
    header = b"P5 32 32 65535\n"
    (tmp_path / "a/1.pgm").write_bytes(header + RAMP.astype(">u2").tobytes())
    assert torch.equal(data.load(tmp_path).images[0, 0], torch.tensor(GREY))


@pytest.mark.parametrize(("mode", "name", "near"), [
    ("RGB", "1.png", 0), ("CMYK", "1.tif", 0), ("YCbCr", "1.tif", 3), ("RGBA", "1.png", 0),
    ("RGB", "1.webp", 0), ("LAB", "1.tif", 12)])
def test_colour_modes_are_read_as_what_they_show(tmp_path, mode, name, near):
    tile = np.kron(COLOURS[:8, :8] // 2 + 64, np.ones((4, 4, 1), np.uint8))  # inside every gamut
    image = Image.fromarray(tile)
    if mode == "LAB":
        srgb, lab = (ImageCms.createProfile(of) for of in ("sRGB", "LAB"))
        image = ImageCms.profileToProfile(image, srgb, lab, outputMode="LAB")
    else:
        image = image.convert(mode)
    options = {"lossless": True} if name.endswith("webp") else {}
    read = one_image(tmp_path, image, name, **options)
    difference = read.permute(1, 2, 0).int() - torch.tensor(tile).int()
    assert difference.abs().max() <= near


@pytest.mark.parametrize(("made", "read"), [
    (lambda: Image.fromarray(GREY > 127), lambda: 255 * (GREY > 127)[None]),
    (lambda: Image.fromarray(GREY).convert("LA"), lambda: GREY[None]),
    (lambda: Image.fromarray(GREY).convert("P"), lambda: np.stack([GREY] * 3)),
    (lambda: Image.fromarray(GREY), lambda: GREY[None]),
])
def test_grey_modes_are_read_as_what_they_show(tmp_path, made, read):
    assert one_image(tmp_path, made()).tolist() == read().tolist()


def test_a_palette_is_looked_up(tmp_path):
    image = Image.fromarray(np.eye(4, dtype=np.uint8), "P")
    image.putpalette([10, 20, 30, 200, 100, 0])
    read = one_image(tmp_path, image)
    assert read[:, 0, 0].tolist() == [200, 100, 0] and read[:, 0, 1].tolist() == [10, 20, 30]


def test_a_photograph_is_turned_upright_by_its_exif(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    image = Image.fromarray(np.concatenate([GREY[:16], 0 * GREY[:16]]))
    read = one_image(tmp_path, image, exif=exif)[0]
    assert read[:, :16].sum() == 0 and read[:, 16:].sum() > 0


def test_of_a_phones_photograph_with_previews_the_photograph_is_read(tmp_path):
    first = Image.fromarray(COLOURS)
    preview = first.resize((8, 8))
    read = one_image(tmp_path, first, "1.mpo", save_all=True, append_images=[preview], quality=100)
    assert read.shape == (3, 32, 32)


SEE_THROUGH = np.dstack([COLOURS, np.full((32, 32), 255, np.uint8)])
SEE_THROUGH[3, 3, 3] = 254
FRAMES = [Image.fromarray(np.full((8, 8), v, np.uint8)) for v in (0, 90, 200)]
MANY = {"save_all": True, "append_images": FRAMES[1:]}


@pytest.mark.parametrize(("image", "name", "options", "words"), [
    (Image.fromarray(RAMP.astype(np.int32)), "1.tif", {}, r"32-bit numbers \(mode I\)"),
    (Image.fromarray((RAMP / 65535).astype(np.float32)), "1.tif", {}, r"mode F\), and which of"),
    (Image.fromarray(RAMP.astype(np.float32)), "1.tif", {}, "mode F"),
    (Image.fromarray(SEE_THROUGH), "1.png", {}, "transparent pixels: put it on a background"),
    (Image.fromarray(SEE_THROUGH), "1.webp", {"lossless": True}, "transparent pixels"),
    (Image.fromarray(SEE_THROUGH[..., 2:]), "1.png", {}, "transparent pixels"),
    (Image.fromarray(GREY), "1.png", {"transparency": 7}, "transparent pixels"),
    (Image.fromarray(GREY).convert("P"), "1.gif", {"transparency": 7}, "transparent pixels"),
    (FRAMES[0], "1.gif", MANY, "3 frames or pages: save the one"),
    (FRAMES[0], "1.tif", MANY, "3 frames or pages"), (FRAMES[0], "1.png", MANY, "3 frames"),
    (FRAMES[0].convert("RGB"), "1.webp", MANY | {"lossless": True}, "3 frames"),
])
def test_an_image_that_is_not_one_picture_is_refused_by_name(tmp_path, image, name, options, words):
    with pytest.raises(ValueError, match=rf"a.{name} cannot be read as an image: .*{words}"):
        one_image(tmp_path, image, name, **options)


def place(kind, path):
    """Something at `path` that is no regular file."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind(str(path))
    else:
        path.symlink_to({"device": "/dev/zero", "link to nothing": "nowhere"}[kind])


@pytest.mark.parametrize("kind", ["pipe", "folder", "socket", "device", "link to nothing"])
def test_what_is_no_file_is_refused_by_name_and_never_opened(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    (tmp_path / "set/a").mkdir(parents=True)
    place(kind, Path("set/a/1.png"))
    with pytest.raises(ValueError, match=r"a.1\.png cannot be read as an image: it is no regular"):
        data.load("./set")
    write("packed-test.npz")
    place(kind, Path("packed-test-2.npz"))
    with pytest.raises(ValueError, match="packed-test-2.npz is damaged or missing: no regu"):
        data.load("packed", root=tmp_path)
    place(kind, Path("alone.npz"))
    with pytest.raises((ValueError, FileNotFoundError), match="alone.npz"):
        data.load("./alone.npz")


def test_empty_files_and_classes_and_pictures_too_large_are_named(tmp_path):
    pets = folder(tmp_path / "pets")
    (pets / "dogs/2.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"dogs.2\.png cannot be read as an image: it is empty"):
        data.load(pets, size=4)
    (pets / "dogs/2.png").unlink()
    (pets / "horses").mkdir()
    (pets / "horses/.hidden").write_text("no image")
    with pytest.raises(ValueError, match="hold no images: horses"):
        data.load(pets, size=4)
    Image.new("1", (20_000, 20_000)).save(pets / "horses/huge.png")
    with pytest.raises(ValueError, match="huge.png cannot be read as an image: .*exceeds limit"):
        data.load(pets, size=4)


# --- tools/get_data.py ---


def fake(n, side=4, mode="RGB"):
    rng = np.random.default_rng(1)
    shape = (side, side, 3) if mode == "RGB" else (side, side)
    return [(Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)), i % 2)
            for i in range(n)]


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_packing_in_chunks_reads_back(tmp_path, monkeypatch, mode):
    get_data = script("get_data")
    monkeypatch.setattr(get_data, "FILE_BYTES", 3 * 4 * 4 * (3 if mode == "RGB" else 1))
    images = fake(7, mode=mode)
    get_data.pack(iter(images), ["a", "b"], tmp_path / "mine-test.npz")
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["mine-test-2.npz", "mine-test-3.npz", "mine-test.npz"]
    mine = data.load("mine", root=tmp_path)
    truth = np.stack([np.asarray(image).reshape(4, 4, -1) for image, _ in images])
    assert np.array_equal(mine.images.numpy(), truth.transpose(0, 3, 1, 2))
    get_data.pack(iter(images[:2]), ["a", "b"], tmp_path / "mine-test.npz")  # no old continuation
    assert len(data.load("mine", root=tmp_path)) == 2


def test_getting_sets_skips_what_is_there_and_goes_on_after_a_failure(
        tmp_path, monkeypatch, capsys):
    get_data = script("get_data")
    asked = []

    def download(name, split, where):
        asked.append((name, split))
        if name == "svhn":
            raise OSError("no network")
        return fake(4), ["a", "b"]

    monkeypatch.setattr(get_data, "download", download)
    (tmp_path / "mnist-train.npz").write_bytes(b"damaged")
    arguments = ["get_data", "--root", str(tmp_path), "--sets", "svhn", "mnist"]
    monkeypatch.setattr("sys.argv", arguments)
    for _ in range(2):
        with pytest.raises(SystemExit) as stopped:
            get_data.main()
        assert stopped.value.code == 1
    assert asked.count(("mnist", "train")) == asked.count(("mnist", "test")) == 1
    printed = capsys.readouterr()
    assert "svhn: failed: OSError: no network" in printed.err
    assert "mnist-test: already there" in printed.out
    assert len(data.load("mnist", "train", tmp_path)) == 4


def test_kept_classes_are_numbered_in_the_order_given():
    photos = data.load("photos", size=8)
    two = photos.keep(["chelsea", "astronaut"])
    assert two.classes == ["chelsea", "astronaut"] and len(two) == len(photos) // 5
    for label, name in enumerate(two.classes):
        same = photos.images[photos.labels == photos.classes.index(name)]
        assert torch.equal(two.images[two.labels == label], same)
    with pytest.raises(ValueError, match="no classes"):
        photos.keep(["dog"])
