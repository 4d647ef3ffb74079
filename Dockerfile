# semsearch without a database of its own: docker-compose.yml puts one beside it.

FROM python:3.11-slim-bookworm AS build

# torch for Linux brings GPU libraries of several GB. An index that offers its CPU build makes the image a quarter of
# the size: docker build --build-arg PIP_EXTRA_INDEX_URL=https://...
ARG PIP_EXTRA_INDEX_URL=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

WORKDIR /source
COPY constraints.txt ./
RUN python -m venv /opt/semsearch \
    && /opt/semsearch/bin/python -m pip install --upgrade --constraint constraints.txt pip
COPY LICENSE README.md pyproject.toml ./
COPY migrations migrations
COPY semsearch semsearch
RUN /opt/semsearch/bin/python -m pip install --constraint constraints.txt '.[demo,files,mcp,parquet,serve]'

FROM python:3.11-slim-bookworm

RUN groupadd --system --gid 10001 semsearch \
    && useradd --system --uid 10001 --gid semsearch --no-create-home --home-dir /nonexistent semsearch \
    && install --directory --owner=semsearch --group=semsearch /models
COPY --from=build /opt/semsearch /opt/semsearch

# /models keeps models that were fetched from a hub; everything else that libraries want to write is for the moment.
ENV PATH=/opt/semsearch/bin:$PATH HF_HOME=/models XDG_CACHE_HOME=/tmp/cache PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /tmp
HEALTHCHECK --interval=60s --timeout=30s --start-period=60s CMD ["semsearch", "collections"]
ENTRYPOINT ["semsearch"]
CMD ["--help"]
