# The notebooks with their environment, for reading, for CI and for the workers of a cluster:
#   docker build --build-arg COMMIT="$(git rev-parse --short=10 HEAD)" -t leaky-gradients .
#   docker run --rm -v "$PWD/figures:/home/reader/leaky-gradients/figures" leaky-gradients
#   docker build --build-arg TORCH=cuda ...      and: docker run --gpus all ...
# CONTRIBUTING.md says which of this has run, and where.
FROM python:3.11-slim-bookworm

# Whatever version the distribution has: make and git only start and name things, and any g++
# compiles the engine's kernels.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ make git \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 reader
USER 1000
WORKDIR /home/reader/leaky-gradients

# The environment first: it stays the same while only code changes.
COPY --chown=reader requirements.txt requirements.lock ./
COPY --chown=reader tools/environment.py tools/
COPY --chown=reader .ci/torch-cpu .ci/
# cpu: PyTorch's build for processors. cuda: the default build, with CUDA's libraries.
ARG TORCH=cpu
ENV PIP_NO_CACHE_DIR=1
RUN case "$TORCH" in \
      cpu) .ci/torch-cpu ;; \
      cuda) ;; \
      *) echo "TORCH=$TORCH: it is cpu or cuda" >&2; exit 1 ;; \
    esac \
 && python3 tools/environment.py

COPY --chown=reader . .
# There is no git in the image's folder: results name this commit.
ARG COMMIT=unknown
ENV COMMIT=$COMMIT \
    PYTHONPATH=/home/reader/leaky-gradients \
    PATH=/home/reader/leaky-gradients/.venv/bin:$PATH \
    OMP_NUM_THREADS=1
CMD ["make", "figures"]
