# consensual serve as an image; the stage `test` runs the test suite.
FROM python:3.13-slim AS test
WORKDIR /consensual
COPY requirements*.txt ./
COPY .ci/environment.py .ci/
RUN python .ci/environment.py requirements-tests.txt
COPY . .
ENTRYPOINT ["./run-tests.sh"]

FROM python:3.13-slim AS serve
WORKDIR /consensual
COPY requirements.txt setup.py pyproject.toml README.md LICENSE ./
COPY consensual consensual
# hadolint ignore=DL3013
RUN python -m pip install --no-cache-dir '.[http]'
RUN useradd --system --uid 1000 consensual && install -d -o consensual -m 700 /data
USER 1000
VOLUME /data
EXPOSE 8000
ENV CONSENSUAL_NODES=http://localhost:8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://localhost:8000/health', timeout=2)"]
ENTRYPOINT ["consensual"]
CMD ["serve", "--help"]
