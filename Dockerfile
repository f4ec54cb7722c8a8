# consensual serve as an image; the stage `test` runs the test suite.
FROM python:3.13-slim AS base
WORKDIR /consensual
COPY requirements.txt setup.py README.md ./
COPY consensual consensual
RUN python -m pip install --no-cache-dir '.[http]'

FROM base AS test
COPY . .
RUN python -m pip install --no-cache-dir -r requirements-tests.txt
CMD ["python", "-m", "pytest", "-m", "not long"]

FROM base AS serve
RUN useradd --system --uid 1000 consensual && install -d -o consensual -m 700 /data
USER consensual
VOLUME /data
EXPOSE 8000
ENV CONSENSUAL_NODES=http://localhost:8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://localhost:8000/health', timeout=2)"]
ENTRYPOINT ["consensual"]
CMD ["serve", "--help"]
