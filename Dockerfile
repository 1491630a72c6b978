# The serving image: the API, the indexer and the command line, which is the first install: no torch, no test tools, no compiler.
#
#   docker build -t vitrine .

ARG PYTHON_IMAGE=python:3.11.14-slim-trixie
ARG NODE_IMAGE=node:24.21.0-bookworm-slim

# the web page, of which nothing but the built files goes on
FROM ${NODE_IMAGE} AS page
WORKDIR /src/web
COPY web/package.json web/package-lock.json web/.npmrc ./
RUN npm ci --no-audit --no-fund
COPY web ./
RUN npm run --silent build

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/vitrine
ENV PATH=/opt/vitrine/bin:$PATH
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE setup.py ./
# wheels alone: a package that would have to be compiled is an error here, not a compiler in the image
RUN pip install --only-binary :all: -r requirements.lock
COPY vitrine vitrine
COPY services services
COPY indexer indexer
COPY training training
COPY api api
COPY --from=page /src/api/built_page api/built_page
COPY cli cli
COPY data data
# what runs is in the lock; what installs, and OpenVINO's plugins for other devices than the CPU, stays behind
RUN pip install --no-deps --no-build-isolation . \
    && pip uninstall --quiet --yes setuptools \
    && rm -f /opt/vitrine/lib/python3.*/site-packages/openvino/libs/libopenvino_intel_[gn]pu_*.so \
    && python -c "import openvino; assert openvino.Core().available_devices == ['CPU']" \
    && pip uninstall --quiet --yes pip

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
