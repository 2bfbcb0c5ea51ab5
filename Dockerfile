# rlidim with all its parts, in the packages' pinned versions:
#   docker build -t rlidim . && docker run --rm -v "$PWD/results:/work/results" rlidim cartpole measure --trainer es
FROM python:3.12-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
COPY . /source
RUN python -m venv /opt/rlidim \
 && /opt/rlidim/bin/pip install --no-cache-dir -c /source/constraints.txt '/source[all]'

FROM python:3.12-slim-bookworm
COPY --from=build /opt/rlidim /opt/rlidim
ENV PATH=/opt/rlidim/bin:$PATH RLIDIM_CACHE=/work/cache
WORKDIR /work
ENTRYPOINT ["rlidim"]
CMD ["--help"]
