# Two stages on one base, of which only Python is used: nothing here is of one distribution.
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
# pip and the build tools stay in an environment of their own, which is left behind.
RUN python3 -m venv /tools && python3 -m venv --without-pip /app
WORKDIR /source
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN /tools/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt \
    && /tools/bin/pip --python /app/bin/python install --no-cache-dir --no-compile \
        --only-binary :all: --require-hashes -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
RUN /tools/bin/pip wheel --no-cache-dir --no-build-isolation --no-deps --wheel-dir dist . \
    && /tools/bin/pip --python /app/bin/python install --no-cache-dir --no-compile --no-deps dist/*.whl
# What rich wants for highlighting code and for Markdown, which nothing here asks of it, is a tenth of the image.
RUN rm -r /app/lib/python3*/site-packages/pygments* /app/lib/python3*/site-packages/markdown_it* /app/lib/python3*/site-packages/mdurl*
# Bytecode of the standard library too, which images of Python leave out: on a read-only root it would be
# compiled anew at each start and at each health check.
RUN PYTHONPYCACHEPREFIX=/app/bytecode /app/bin/python -m compileall -q --invalidation-mode unchecked-hash \
    -x '/(ensurepip|idlelib|pydoc_data|site-packages/pip|test|tkinter|turtledemo)/' \
    "$(/app/bin/python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" /app/lib

FROM ${BASE}
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="redis-connection-exporter" \
      org.opencontainers.image.description="Prometheus exporter for Redis and Valkey connections that still sees at maxclients" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH \
    PYTHONPYCACHEPREFIX=/app/bytecode \
    PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
EXPOSE 10051
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["redis-connection-exporter", "healthcheck"]
ENTRYPOINT ["redis-connection-exporter"]
