# The service without a database of its own: give it DATABASE_URL, SECRET_KEY and ENCRYPTION_KEYS.
FROM python:3.12-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /opt/integrations-api \
    && /opt/integrations-api/bin/pip install --no-deps --require-hashes -r requirements.lock \
    && python -m venv /opt/build \
    && /opt/build/bin/pip install --no-deps --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md ./
COPY migrations migrations
COPY src src
RUN /opt/build/bin/python -m hatchling build -t wheel -d dist \
    && /opt/integrations-api/bin/pip install --no-deps --no-index dist/*.whl

FROM python:3.12-slim
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin integrations \
    && install -d -o integrations -g integrations /var/lib/integrations-api
COPY --from=build /opt/integrations-api /opt/integrations-api
ENV PATH=/opt/integrations-api/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LOG_FORMAT=json \
    RAW_DUMP_PATH=/var/lib/integrations-api/incidentspulledfromsnow.json
WORKDIR /var/lib/integrations-api
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
EXPOSE 8000
# Not through a proxy that the engine may put into a container's environment.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from urllib.request import *; build_opener(ProxyHandler({})).open('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["integrations-api", "serve", "--host", "0.0.0.0", "--port", "8000"]
