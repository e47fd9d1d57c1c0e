#!/bin/sh
# This script creates .venv with packages that it checks against their hashes, and installs this project into it. If .venv is
# up to date, it does nothing.
#   sh workflow/setup.sh        the packages for a run: requirements.lock
#   sh workflow/setup.sh test   also the packages for the tests: requirements-test.lock
# It needs Python 3.11 to 3.14 (python3, or PYTHON=...) and, the first time, the network.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# A .venv with the tests' packages keeps them: a run after a test changes nothing.
lock=requirements.lock
if [ "${1-}" = test ] || grep -qs requirements-test.lock .venv/ready; then lock=requirements-test.lock; fi
state="$(pwd)
$(cksum $lock pyproject.toml)"
if [ -f .venv/ready ] && [ "$(cat .venv/ready)" = "$state" ] && .venv/bin/python -c '' 2>/dev/null; then
    exit 0
fi

case "$(uname -s)" in
    MINGW* | MSYS* | CYGWIN*) fail "this does not run in Windows itself: install WSL (wsl --install) and run make there" ;;
esac
command -v "$python" >/dev/null 2>&1 ||
    fail "no $python here: install Python 3.11 to 3.14, or name one: make PYTHON=/path/to/python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version 2>&1) is too old: install Python 3.11 to 3.14, or name one: make PYTHON=/path/to/python3"
"$python" workflow/can_install.py || exit 1

# A virtual environment contains absolute paths. The script creates it again if its folder was moved or its Python is gone.
if [ -d .venv ] && { [ -f .venv/ready ] && [ "$(head -n 1 .venv/ready)" != "$(pwd)" ] ||
    ! .venv/bin/python -c '' 2>/dev/null; }; then
    rm -rf .venv
fi
rm -f .venv/ready
[ -d .venv ] || echo "setup: making .venv (5.8 GB on Linux, mostly PyTorch; minutes where nothing is cached)"
[ -x .venv/bin/python ] || "$python" -m venv .venv || fail "could not make .venv in $(pwd): is the disk full or read-only?"

offline="could not install packages: check the network, the proxy settings and the disk, then run make again;
what was downloaded is kept"
# uv's own lines of the lock, so that pip checks uv against its hash too
awk '/^uv==/ { on = 1 } on { print } on && !/\\$/ { exit }' requirements.lock > .venv/uv-requirement.txt
wanted=$(sed -n 's/^uv==\([^ ]*\).*/uv \1/p' .venv/uv-requirement.txt)
case "$(.venv/bin/uv --version 2>/dev/null || true) " in
    "$wanted "*) ;;
    *) .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
        -r .venv/uv-requirement.txt || fail "$offline" ;;
esac
# The lock is also the build constraint: it pins the setuptools (with hash) that builds connection-pool, which has no wheel.
.venv/bin/uv pip sync --quiet --python .venv/bin/python --require-hashes --build-constraints $lock $lock || fail "$offline"
# setuptools, the build backend, is in the lock, so nothing is downloaded here
.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable . ||
    fail "could not install the project itself; the lines above say why"
# The imports are compiled here once; with PYTHONDONTWRITEBYTECODE, every process would compile them again. librosa's loops are
# compiled by one process, because two processes at the same time can damage each other's files, and loading these crashes.
unset PYTHONDONTWRITEBYTECODE
.venv/bin/python -c '
import ipykernel.kernelapp, jupyterlab.labapp, matplotlib.backends.backend_pdf, matplotlib.pyplot, matplotlib_inline.backend_inline
import openTSNE, papermill.cli, papermill.engines, pandas, pyarrow.parquet, scipy.stats, sklearn.linear_model, sklearn.neighbors
import snakemake.cli, torch, transformers.models.bert.modeling_bert
' & beside=$!
.venv/bin/python -c '
import numpy
from dancemvp_core.dance import music
samples = numpy.random.default_rng(0).normal(size=220500).astype("float32")
music.acoustic_features(samples, 22050), music.beat_times(samples, 22050), music.onset_peaks(samples, 22050)
' || fail "librosa does not run here; the lines above say why"
wait $beside || fail "Snakemake, JupyterLab or PyTorch does not run here; the lines above say why"
printf '%s\n' "$state" > .venv/ready
