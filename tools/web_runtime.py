"""Get ONNX Runtime for browsers, which `i2i export --page` puts into its pages.

    python tools/web_runtime.py [FOLDER]

It takes the package from npm, checks its hash, and writes what a page needs into i2i/exporting/web/, compressed
(10 MB). A wheel that is built afterwards contains it. Needs npm.
"""

import argparse
import base64
import gzip
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from i2i.exporting.page import RUNTIME, RUNTIME_FILES, RUNTIME_SHA512, RUNTIME_VERSION, WEBGPU_FILES


def check(package: Path) -> None:
    """Exit if the package is not the one that this version of i2i was tested with."""
    digest = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    if digest != RUNTIME_SHA512:
        sys.exit(f"Error: {package.name} has the SHA-512 {digest}, not {RUNTIME_SHA512}. Nothing was written.")


def main() -> None:
    """Fetch, check and compress the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=RUNTIME, help="Where to write, if not there.")
    out: Path = parser.parse_args().folder
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("Error: npm is not installed. Install Node.js, or a wheel of i2i, which has these files.")
    with tempfile.TemporaryDirectory() as folder:
        words = [npm, "pack", f"onnxruntime-web@{RUNTIME_VERSION}", "--silent", "--pack-destination", folder]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        packages = list(Path(folder).glob("*.tgz"))
        if done.returncode or not packages:
            sys.exit(f"Error: npm could not fetch onnxruntime-web {RUNTIME_VERSION}: {done.stderr.strip()}")
        check(packages[0])
        out.mkdir(exist_ok=True)
        with tarfile.open(packages[0]) as archive:
            for name in (*RUNTIME_FILES.values(), *WEBGPU_FILES.values()):
                member = archive.extractfile(f"package/dist/{name}")
                assert member is not None
                (out / f"{name}.gz").write_bytes(gzip.compress(member.read(), 9, mtime=0))
    for file in sorted(out.glob("*.gz")):
        print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
