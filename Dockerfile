# Settle with its run-time dependencies, without the embedded stack and the development tools.
FROM python:3.11.15-slim-bookworm

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1

WORKDIR /settle
COPY requirements-runtime.lock .
RUN python -m pip install --require-hashes --requirement requirements-runtime.lock

COPY . .
RUN python -m pip install --no-deps --no-build-isolation --no-index .

# /tmp stays writable if the rest is read-only, and has no checkout that Python could import.
WORKDIR /tmp
USER 65534:65534
ENTRYPOINT ["settle"]
CMD ["--help"]
