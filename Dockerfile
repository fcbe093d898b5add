# Settle with what it needs at run time: no embedded stack, no tools of its developers.
FROM python:3.11.15-slim-bookworm

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1

WORKDIR /settle
COPY requirements-runtime.lock .
RUN python -m pip install --require-hashes --requirement requirements-runtime.lock

COPY . .
RUN python -m pip install --no-deps --no-build-isolation --no-index .

# Where files may be written when the rest may not, and where nothing of the checkout is imported.
WORKDIR /tmp
USER 65534:65534
ENTRYPOINT ["settle"]
CMD ["--help"]
