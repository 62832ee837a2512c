"""Start the `tritonserver` that the nvidia-pytriton wheel holds, with the stub of its python backend for this Python.

It becomes the server (exec), so that whoever started this script signals the server itself.
"""

import os
import shutil
import sys
from pathlib import Path

import onnx_models
import pytriton

wheel = Path(pytriton.__file__).parent / "tritonserver"
libraries = Path(pytriton.__file__).parent.parent / "nvidia_pytriton.libs"
scratch, workload, port = Path(os.environ["SCRATCH"]), os.environ["MODEL"], os.environ["PORT"]

# The stub belongs beside its backend, and the installed package is not ours to change.
shutil.copytree(wheel / "backends", scratch / "backends")
version = f"{sys.version_info.major}.{sys.version_info.minor}"
stub = scratch / "backends" / "python" / "triton_python_backend_stub"
shutil.copy(wheel / "python_backend_stubs" / version / stub.name, stub)
# The stub ignores PYTHONPATH; it imports what stands beside it.
shutil.copy(onnx_models.__file__, stub.parent)

shutil.copytree(Path(__file__).parent / "repository" / workload, scratch / "repository" / workload)
with open(scratch / "repository" / workload / "config.pbtxt", "a") as config:
    config.write(f"max_batch_size: {os.environ['MAX_BATCH']}\n")
    config.write(f"dynamic_batching {{ max_queue_delay_microseconds: {os.environ['QUEUE_DELAY_US']} }}\n")
    config.write(f"instance_group [{{ kind: KIND_CPU, count: {os.environ['INSTANCES']} }}]\n")

os.environ["LD_LIBRARY_PATH"] = str(libraries)
os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
server = str(wheel / "bin" / "tritonserver")
arguments = [
    f"--model-repository={scratch / 'repository'}",
    f"--backend-directory={scratch / 'backends'}",
    f"--cache-directory={wheel / 'caches'}",
    "--http-address=127.0.0.1",
    f"--http-port={port}",
    "--allow-grpc=false",
    "--allow-metrics=false",
    f"--http-thread-count={os.environ['HTTP_THREADS']}",
]
os.execv(server, [server, *arguments])
