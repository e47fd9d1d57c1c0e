# Everything that a run needs, on a CPU or a GPU: Debian 12 with Python, make, git and compilers, then `make setup`.
#
#   docker build -t dancemvp .
#   docker run --rm -v "$PWD/results:/dancemvp/results" -v "$PWD/figures:/dancemvp/figures" dancemvp
#   docker run --rm --gpus all dancemvp make reproduce PROFILE=paper
#
# The same image serves both: PyTorch's wheels for Linux bring CUDA. --gpus needs NVIDIA's driver and container toolkit on the host.
# Not tried: no Docker was at hand. Tried without one: `make setup` from nothing, on Debian 12 with Python 3.12.
FROM python:3.12-bookworm AS base

FROM base
WORKDIR /dancemvp
COPY . .
RUN make setup
CMD ["make", "reproduce"]
