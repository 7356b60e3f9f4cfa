# One image for every service of compose.yaml: the command says which.
FROM python:3.11-slim AS build
COPY . /src
RUN python -m venv /opt/quantkit \
 && /opt/quantkit/bin/pip install --no-cache-dir -c /src/constraints.txt uv \
 && /opt/quantkit/bin/uv pip install --no-cache --python /opt/quantkit/bin/python --compile-bytecode \
      -c /src/constraints.txt /src

FROM python:3.11-slim
COPY --from=build /opt/quantkit /opt/quantkit
RUN useradd --create-home --uid 10001 quantkit && install -d -o quantkit /data
USER quantkit
ENV PATH=/opt/quantkit/bin:$PATH QUANTKIT_HOME=/data HOST=0.0.0.0 PORT=8866
VOLUME /data
EXPOSE 8866 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/voila/quantkit/bundle.js', timeout=4)"]
# QUANTKIT_TOKEN is needed: without it nothing listens beyond loopback.
CMD ["sh", "-c", "exec quantkit up --host \"$HOST\" --port \"$PORT\""]
