# docker build -t tfssl .                          for processors
# docker build -t tfssl --build-arg EXTRA=cuda .   for NVIDIA GPUs
# docker run -v "$PWD:/work" tfssl --dataset=./photos       with --gpus all where there are some
FROM python:3.11-slim
ARG EXTRA=pictures
WORKDIR /src
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY tfssl tfssl
COPY flags flags
RUN pip install --no-cache-dir ".[$EXTRA]"
WORKDIR /work
ENTRYPOINT ["tfssl"]
