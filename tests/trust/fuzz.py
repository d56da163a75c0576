"""Feed mutated files to the readers, in one process, and watch what they do.

`python fuzz.py KINDS COUNT FOLDER [FIRST]` makes COUNT files of some kinds (checkpoints, images,
cards; joined by +), whose bytes depend on the kind and their number alone, and reads each. It
prints how they ended, as JSON. Wrong is what ends in anything but success or an `InputError` of
one line, takes 10 seconds (which ends the process), needs more than 2 GB of memory, starts a
process, opens a socket, or writes outside the folder; such a file stays in the folder.
"""

import contextlib
import faulthandler
import functools
import io
import json
import os
import pickle
import random
import resource
import struct
import subprocess
import sys
import tarfile
import traceback
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import tifffile
import torch
from PIL import Image, ImageCms

from srlongtail.errors import InputError
from srlongtail.image.io import check_image, read_image
from srlongtail.models.catalog import build
from srlongtail.models.checkpoint import load_model
from srlongtail.models.load_any import load_any
from srlongtail.models.spandrel_network import import_spandrel

SECONDS = 10
MEMORY = 2 * 2**30  # bytes
FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "subprocess.Popen")
WRITING = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod")

Case = tuple[str, bytes, Callable[[Path], Any]]


# ---- checkpoints


class Payload:
    """Calls a function when it is unpickled, which leaves a canary."""

    def __init__(self, rng: random.Random, canary: Path) -> None:
        at = str(canary)
        self.call: tuple[Any, ...] = rng.choice(
            [
                (os.system, (f"touch {at}",)),
                (os.mkdir, (at,)),
                (exec, (f"open({at!r}, 'w')",)),
                (eval, (f"open({at!r}, 'w')",)),
                (open, (at, "w")),
                (subprocess.Popen, (["touch", at],)),
                (functools.partial, (os.mkdir, at)),
                (map, (os.mkdir, [at])),
            ]
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


@functools.cache
def weights() -> dict[str, torch.Tensor]:
    return load_model("fsrcnn-x4").network.state_dict()


def strange_tensor(rng: random.Random, t: torch.Tensor) -> Any:
    """Return a tensor in the place of another one."""
    strange: list[Callable[[], Any]] = [
        lambda: t * float("nan"),
        lambda: t + float("inf"),
        lambda: t.new_zeros(()).expand(200_000, 200_000),
        lambda: t.new_zeros(1).expand(*t.shape[:-1], 10**9) if t.dim() else t,
        lambda: t.new_zeros(1, 1, 1, 1).expand(rng.choice((1, 3, 10**5)), 10**5, 3, 3),
        lambda: t.flip(0)[..., None] if t.dim() else t,
        lambda: t.reshape(-1),
        lambda: t.new_zeros((0, *t.shape[1:])),
        lambda: t.to(
            rng.choice((torch.int8, torch.bool, torch.complex64, torch.float64, torch.bfloat16))
        ),
        lambda: t.to(rng.choice((torch.float8_e4m3fn, torch.float8_e5m2))),
        lambda: t.to_sparse(),
        lambda: t.to("meta"),
        lambda: torch.quantize_per_tensor(t.float(), 0.1, 0, torch.qint8),
        lambda: torch.nested.nested_tensor([t, t]),
        lambda: t.numpy(),
        lambda: np.broadcast_to(np.float32(0), (300, 300)),
        lambda: rng.choice((None, 3, 2.0, "text", [], {}, [t, t], b"bytes", 10**400)),
        lambda: torch.cat([t, t]) if t.dim() else t,
        lambda: t[:1] if t.dim() else t,
    ]
    return rng.choice(strange)()


def strange_key(rng: random.Random, key: str) -> Any:
    return rng.choice(
        [
            key.replace(".", f".{10 ** rng.randint(1, 9)}.", 1),
            f"module.{key}",
            "." * 9 + key,
            key + "\n\x1b[31mline",
            "名前." + key,
            key.upper(),
            "",
            rng.randint(-9, 10**9),
            (1, "tuple"),
            "x" * 10_000,
            "__class__.__init__.__globals__",
        ]
    )


def wrapped(rng: random.Random, state: dict[Any, Any], canary: Path) -> Any:
    """Put weights into a structure as strangers may have it."""
    loop: list[Any] = [state]
    loop.append(loop)
    laughs: list[Any] = [{"a": torch.ones(2, 2)}]
    for _ in range(40):
        laughs = [laughs] * 10
    deep: Any = state
    for _ in range(200):
        deep = {"a": deep}
    evil = Payload(rng, canary)
    return rng.choice(
        [
            *[state, {"params": state}] * 3,
            {"params": state, "params_ema": {k: v for k, v in state.items() if rng.random() < 0.9}},
            {"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3},
            list(state.items()),
            loop,
            {"a": laughs, **state},
            deep,
            evil,
            {"a": evil, **state},
            {**state, "z": [evil]},
            {"state_dict": state, evil: 1},
        ]
    )


def saved(rng: random.Random, content: Any) -> bytes:
    """Write a content in one of the layouts of PyTorch."""
    stream = io.BytesIO()
    layout = rng.choice((*["zip"] * 6, *["old"] * 4, "pickle", "tar"))
    try:
        if layout == "pickle":
            return pickle.dumps(content, protocol=rng.choice((0, 2, 4)))
        torch.save(
            content,
            stream,
            pickle_protocol=rng.choice((*[2] * 9, 4)),
            _use_new_zipfile_serialization=layout == "zip",
        )
    except Exception:  # some contents cannot be saved in some layouts
        return pickle.dumps(None)
    if layout == "tar":
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name in ("sys_info", "pickle", "tensors"):
                entry = tarfile.TarInfo(name)
                entry.size = len(stream.getvalue())
                tar.addfile(entry, io.BytesIO(stream.getvalue()))
        return archive.getvalue()
    if layout == "zip" and rng.random() < 0.4:
        return repacked(rng, stream.getvalue())
    return stream.getvalue()


def repacked(rng: random.Random, data: bytes) -> bytes:
    """Return a zip archive with one entry changed and the checksums right."""
    stream = io.BytesIO()
    compression = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    bomb = rng.random() < 0.05
    with (
        zipfile.ZipFile(io.BytesIO(data)) as old,
        zipfile.ZipFile(stream, "w", compression) as new,
    ):
        changed = rng.choice([n for n in old.namelist() if rng.random() < 0.3 or "data.pkl" in n])
        for name in old.namelist():
            entry = old.read(name)
            if name == changed:
                entry = b"\0" * 3 * 10**8 if bomb else mutated(rng, entry)
            new.writestr(zipfile.ZipInfo(name), entry, compression)
    return stream.getvalue()


JUNK: tuple[Any, ...] = (
    *(None, True, -1, 0, 3, 10**6, 10**30, 1e308, float("nan"), float("inf"), 0.5, "", "x", "4"),
    *("fsrcnn", "os:system", "../../etc/passwd", "a\nb", "\x1b[31m", "名前", "y" * 3000),
    *([], {}, [1, 2], {"a": {"b": []}}, [[[[[]]]]]),
)


def junk_inside(rng: random.Random, value: Any) -> Any:
    """Replace one leaf or branch of nested dicts by junk."""
    if not isinstance(value, dict) or not value or rng.random() < 0.15:
        return rng.choice(JUNK)
    key = rng.choice(list(value))
    if rng.random() < 0.2:
        return {**value, rng.choice(("x", "scale", "arguments", "features")): rng.choice(JUNK)}
    return {**value, key: junk_inside(rng, value[key])}


HEADER = {
    "scale": 4,
    "predicts": "image",
    "value_range": 1,
    "channels": "rgb",
    "provenance": {
        "architecture": "fsrcnn",
        "arguments": {"scale": 4},
        "iterations": 10,
        "recipe": {"skip": False, "loss": "l1"},
        "data": {"images": 3},
        "device": "cpu",
    },
}


def safetensors_file(rng: random.Random, state: dict[Any, Any]) -> bytes:
    tensors = {
        str(key): value.detach().clone().contiguous()
        for key, value in state.items()
        if torch.is_tensor(value) and value.layout == torch.strided and value.numel() < 10**6
        if value.device.type == "cpu" and not value.is_quantized and not value.is_nested
    }
    metadata = None
    if rng.random() < 0.6:
        text = json.dumps(junk_inside(rng, HEADER) if rng.random() < 0.8 else HEADER)
        if rng.random() < 0.1:
            text = rng.choice(("", "[" * 100_000, "{", "null", "9" * 4999, '{"a":NaN}'))
        metadata = {"srlongtail": text}
    data = safetensors.torch.save(tensors, metadata)
    if rng.random() < 0.5:
        return data
    size = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + size], data[8 + size :]
    if rng.random() < 0.5:
        entries = json.loads(header)
        name = rng.choice(list(entries))
        lies = {
            "shape": [200_000, 200_000],
            "data_offsets": [rng.choice((0, -1, 2**62)), rng.choice((1, 2**63, 10**30))],
            "dtype": rng.choice(("F64", "U8", "X", "F8_E4M3")),
        }
        entries[name] = {**entries[name], **dict([rng.choice(list(lies.items()))])}
        header = json.dumps(entries).encode()
    else:
        header = mutated(rng, header)
    length = len(header) if rng.random() < 0.9 else rng.choice((2**63, 2**31, 10))
    return length.to_bytes(8, "little") + header + body


def checkpoint(rng: random.Random, folder: Path) -> Case:
    state: dict[Any, Any] = dict(weights())
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        key = rng.choice([k for k in state if rng.random() < 0.5 or "weight" in str(k)])
        if rng.random() < 0.2:
            state[strange_key(rng, str(key))] = state.pop(key)
        elif torch.is_tensor(state[key]) and state[key] is weights().get(key):
            try:
                state[key] = strange_tensor(rng, state[key])
            except Exception:  # not of this shape or type
                state[key] = None
    if rng.random() < 0.3:
        data = safetensors_file(rng, state)
    else:
        data = saved(rng, wrapped(rng, state, folder / "canary"))
    if rng.random() < 0.3:
        data = mutated(rng, data)
    if rng.random() < 0.03:
        data = b"\x08\x08\x12\x07pytorch" + data
    stated = {"predicts": "image", "value_range": 1.0, "channels": "rgb"}
    options: dict[str, Any] = stated if rng.random() < 0.7 else {}
    return rng.choice((".pth", ".safetensors")), data, lambda path: load_model(path, **options)


# ---- images


def picture(rng: random.Random) -> bytes:
    """Return an image file of any of the kinds that are read, or that are not."""
    height, width = rng.choice(((12, 10), (1, 1), (1, 9), (9, 1), (33, 40)))
    noise = np.random.default_rng(rng.randrange(2**32))
    rgb = noise.integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(rgb)
    stream = io.BytesIO()
    kind = rng.randrange(12)
    if kind == 0:
        image.convert(rng.choice(("P", "L", "LA", "RGBA", "1"))).save(stream, "PNG")
    elif kind == 1:
        deep = rng.choice((np.uint16, np.float32, np.float64, np.int16, np.uint32, np.float16))
        tifffile.imwrite(stream, (rgb / 255).astype(deep), photometric="rgb")
    elif kind == 2:
        tifffile.imwrite(stream, rgb.astype(np.uint16) * 257, photometric="rgb", compression="zlib")
    elif kind == 3:
        image.convert("CMYK").save(stream, rng.choice(("JPEG", "TIFF")))
    elif kind == 4:
        more = [image.rotate(90 * i) for i in range(3)]
        form = rng.choice(("PNG", "WEBP", "GIF", "TIFF"))
        image.save(stream, form, save_all=True, append_images=more)
    elif kind == 5:
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rgb)
        stream.write(png_file(width, height, 16, 2, rows))
    elif kind == 6:
        size = rng.choice(((30_000, 30_000), (2**31 - 1, 1), (0, 0), (200_000, 200_000)))
        rows = b"\0" * 10**6
        stream.write(png_file(*size, rng.choice((1, 8, 16)), rng.choice((0, 2, 3, 6)), rows))
    elif kind == 7:
        stream.write(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/tmp/x) (w) file\n%%EOF")
    elif kind == 8:
        exif = image.getexif()
        exif[0x0112] = rng.choice((0, 5, 9, 65535))
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        image.save(stream, rng.choice(("PNG", "JPEG", "WEBP")), exif=exif, icc_profile=profile)
    else:
        form = rng.choice(("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM", "ICO", "TGA"))
        image.save(stream, form)
    return stream.getvalue()


def png_file(width: int, height: int, bits: int, kind: int, rows: bytes) -> bytes:
    """Return a PNG file, whatever its header claims."""
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    if kind == 3:
        chunks.insert(1, (b"PLTE", b"\0\0\0"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(png_chunk, chunks))


def png_chunk(chunk: tuple[bytes, bytes]) -> bytes:
    name, data = chunk
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def with_right_checksums(data: bytes) -> bytes:
    """Return a mutated PNG file whose chunks pass their checks, so that damage reaches deeper."""
    at, out = 8, data[:8]
    while at + 12 <= len(data):
        size = min(int.from_bytes(data[at : at + 4], "big"), len(data) - at - 12)
        out += png_chunk((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return out + data[at:]


def image_file(rng: random.Random, folder: Path) -> Case:
    data = picture(rng)
    if rng.random() < 0.8:
        data = mutated(rng, data)
        if data.startswith(b"\x89PNG") and rng.random() < 0.7:
            data = with_right_checksums(data)

    def read(path: Path) -> None:
        try:
            check_image(path)
        finally:
            read_image(path)

    return rng.choice((".png", ".jpg", ".tif", ".webp", ".bmp")), data, read


# ---- cards


VALUES = (
    *("4", "-1", "0", "1e400", "nan", "-inf", "10000", "9" * 4999, "9" * 30, "true", '""', "[]"),
    *('"image"', '"residual"', '"rgb"', '"fsrcnn"', '"FPL"', '"bicubic"', "{}", "[[[[1]]]]"),
    *('"os:system"', '"os:system(\\"touch canary\\")"', '"antigravity:fly"', '"torch.nn:Identity"'),
    *('"torch.nn:Linear(3, 3)"', '"fsrcnn(features=__import__(\\"os\\"))"', '"a\\nb"', '"\\u0000"'),
    *('"torch.nn:Conv2d(3, 3, 10**9)"', '"torch.nn:Conv2d(3, 100000, 1000)"', '"this:s"'),
    *('"../../../../etc/passwd"', '"/dev/zero"', '"/proc/self/mem"', '"/proc/self/environ"'),
    *('"' + "n" * 5000 + '"', "1979-05-27", '"edsr"', '"vdsr"', '"carn"', '"srcnn"', '"."'),
    *('"weights.safetensors"', '"' + "(" * 3000 + '"', '"fsrcnn(' + "[" * 3000 + '"'),
    *("{features = 1000000000}", "{scale = 1000000}", "{features = -1}", "{x = {y = [1]}}"),
    *("{features = 1e300}", '{features = "a"}', "{mappings = 100000000}", "{blocks = 99999999}"),
)
CARD_KEYS = (
    *(
        "weights",
        "network",
        "arguments",
        "scale",
        "predicts",
        "value_range",
        "multiple",
        "channels",
    ),
    *("enlarged", "takes_scale", "output", "prefix", "arm", "degradation", "name", "file", "x y"),
)


def card(rng: random.Random, folder: Path) -> Case:
    lines = {"weights": '"weights.safetensors"', "scale": "4"}
    if rng.random() < 0.5:
        lines = {"network": f'"{rng.choice(("fsrcnn", "edsr", "torch.nn:Identity"))}"'}
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        key = rng.choice(CARD_KEYS)
        lines[json.dumps(key) if " " in key else key] = rng.choice(VALUES)
    text = "\n".join(f"{key} = {value}" for key, value in lines.items())
    if rng.random() < 0.02:
        text = "arguments = " + "[" * 5000
    data = text.encode()
    if rng.random() < 0.3:
        data = mutated(rng, data)
    return ".toml", data, lambda path: load_any([str(path)])


# ---- any file


def mutated(rng: random.Random, data: bytes) -> bytes:
    """Damage bytes as broken disks, broken downloads and attackers do."""
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        # Headers are more telling than the many bytes of weights and pixels.
        end = len(damaged) if rng.random() < 0.5 else min(len(damaged), 200)
        at = rng.randrange(end + 1)
        kind = rng.randrange(7)
        if kind == 0 and at < len(damaged):
            damaged[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del damaged[at:]
        elif kind == 2:
            del damaged[at : at + rng.choice((1, 4, 100))]
        elif kind == 3:
            damaged[at:at] = rng.randbytes(rng.choice((1, 8, 300)))
        elif kind == 4:
            damaged[at : at + 4] = rng.choice((b"\xff\xff\xff\x7f", b"\xff" * 4, b"\0" * 4))
        elif kind == 5:
            damaged[at:at] = damaged[at : at + rng.choice((4, 64, 4096))]
        else:
            damaged[at : at + 1] = rng.randbytes(1)
    return bytes(damaged)


KINDS = {"checkpoints": checkpoint, "images": image_file, "cards": card}


def outside(folder: Path, broken: list[str]) -> Callable[[str, tuple[Any, ...]], None]:
    """Return an audit hook that notes what no reading of a file may do, and prevents it."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        bad = event in FORBIDDEN or event.startswith(("socket.", "pty."))
        if event == "ctypes.dlopen":  # of the process itself, it loads nothing
            bad = arguments[0] is not None
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            path, _, flags = arguments
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            place = str(Path.cwd() / os.fsdecode(path))
            bad = bool(writes) and not place.startswith((str(folder), os.devnull))
        if event in WRITING:
            inside, descriptor = Path.cwd(), arguments[-1]
            if event in ("os.remove", "os.rmdir", "os.mkdir") and descriptor not in (-1, None):
                inside = Path(f"/proc/self/fd/{descriptor}").resolve()
            bad = not str(inside / os.fsdecode(arguments[0])).startswith(str(folder))
        if bad:
            broken.append(f"{event} {arguments!r:.200}")
            raise PermissionError(f"forbidden: {event}")

    return hook


def main() -> None:
    kinds, count, folder = sys.argv[1].split("+"), int(sys.argv[2]), Path(sys.argv[3]).resolve()
    first = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_DATA, (6 * 2**30, 6 * 2**30))  # protects the machine
    os.chdir(folder)
    load_model("fsrcnn-x4")  # from here on, all that is imported is imported
    torch.save({"params": weights()}, "good_x4.pth")
    load_model("good_x4.pth")
    build("edsr", scale=4)
    import_spandrel()
    safetensors.torch.save_file(
        {k: v.contiguous() for k, v in weights().items()}, "weights.safetensors"
    )
    for form in ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF"):
        Image.new("RGB", (9, 9)).save("good", form)
        with contextlib.suppress(InputError):
            read_image("good")
    broken: list[str] = []
    sys.addaudithook(outside(folder, broken))
    before = set(folder.iterdir())
    ended: Counter[str] = Counter()
    for number in range(first, first + count):
        kind = kinds[number % len(kinds)]
        rng = random.Random(f"{kind} {number}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            suffix, data, read = KINDS[kind](rng, folder)
        broken.clear()  # a payload that the maker of the file touches does not count
        path = folder / f"{number}_x4{suffix}"
        path.write_bytes(data)
        before.add(path)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        wrong = ""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read(path)
            ended["read"] += 1
        except InputError as error:
            ended["one-line error"] += 1
            if not str(error).isprintable():
                wrong = f"the message is not one line: {str(error)!r}"
        except BaseException:
            wrong = traceback.format_exc()
        faulthandler.cancel_dump_traceback_later()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if peak > MEMORY:
            wrong = wrong or f"{peak / 2**30:.1f} GB of memory"
        wrong = wrong or "; ".join(broken)
        left = [str(p) for p in folder.iterdir() if p not in before]
        wrong = wrong or (f"left {left}" if left else "")
        if wrong:
            print(f"{path}: {wrong}", file=sys.stderr)
            ended["wrong"] += 1
            if peak > MEMORY:  # and stays there
                break
        else:
            path.unlink()
    print(json.dumps({"tried": count, "peak_bytes": peak, **ended}))
    sys.exit(ended["wrong"] > 0)


if __name__ == "__main__":
    main()
