# The serving image: the API, the indexer and the command line on the CPU. No training libraries, no test tools.
#
#   docker build --build-arg TORCH_INDEX_URL=<an index with CPU wheels of torch> -t vitrine .
#
# requirements.lock pins torch. It is installed first, from that index alone, or without the argument from the one that pip is
# configured for. An index that serves a CUDA build, five gigabytes that this image cannot use, is refused before anything is
# downloaded.

ARG PYTHON_IMAGE=python:3.11.14-slim-trixie

FROM ${PYTHON_IMAGE} AS build
ARG TORCH_INDEX_URL=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/vitrine
ENV PATH=/opt/vitrine/bin:$PATH
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN torch="$(grep -i '^torch==' requirements.lock)" \
    && index="${TORCH_INDEX_URL:+--index-url $TORCH_INDEX_URL}" \
    && pip install $index --dry-run --ignore-installed --quiet --report /tmp/torch.json "$torch" \
    && if grep -qE '"name": "(nvidia|cuda|triton)' /tmp/torch.json; then \
         echo >&2 "This package index serves torch for CUDA: name one with CPU wheels by --build-arg TORCH_INDEX_URL=..."; exit 1; \
       fi \
    && pip install $index "$torch"
COPY setup.py ./
COPY vitrine vitrine
COPY services services
COPY indexer indexer
COPY training training
COPY api api
COPY cli cli
COPY data data
# the lock as constraints: what the project asks for, in exactly these versions, and nothing that only tests need
RUN pip install --constraint requirements.lock . \
    && python -c "import torch; assert torch.version.cuda is None, 'torch was replaced by a CUDA build'"

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 vitrine \
    && useradd --uid 10001 --gid vitrine --no-create-home --home-dir /data --shell /usr/sbin/nologin vitrine \
    && install --directory --owner=vitrine --group=vitrine /data /models
COPY --from=build /opt/vitrine /opt/vitrine
ENV PATH=/opt/vitrine/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HF_HOME=/data/hub \
    VITRINE_DATA=/data \
    VITRINE_MODELS=/models \
    VITRINE_HOST=0.0.0.0
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
# Searches go on while the object store is away: a container that answers them is healthy.
HEALTHCHECK --interval=15s --timeout=12s --start-period=60s --retries=4 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ.get('VITRINE_PORT', '8000')}/readyz?need=search\", timeout=11)"]
# Open to every interface of the container, so the server refuses to start without VITRINE_API_KEYS.
CMD ["vitrine", "serve"]
