"""What the programs that time PyTorch share: arguments, the GPU's state, records."""
import argparse
import json
import os
import pathlib
import subprocess

import torch


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number from 1 on")
    return value


def query_gpu(device):
    """Driver and clocks as nvidia-smi tells them, None where it does not."""
    fields = "driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.limit,temperature.gpu"
    index = torch.cuda.current_device() if device.index is None else device.index
    try:
        done = subprocess.run(["nvidia-smi", f"--id={index}", f"--query-gpu={fields}",
                               "--format=csv,noheader"],
                              capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return dict(zip(fields.split(","), (x.strip() for x in done.stdout.split(","))))


def describe(device):
    """Versions, and the device with its state."""
    on_gpu = device.type == "cuda"
    cudnn = torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else None
    return {"torch": torch.__version__, "cuda": torch.version.cuda, "cudnn": cudnn,
            "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
            "gpu_before": query_gpu(device) if on_gpu else None,
            "threads": torch.get_num_threads()}


def write(path, record):
    """In one step, so that a run cut short leaves what it had."""
    scratch = pathlib.Path(f"{path}.tmp")
    scratch.write_text(json.dumps(record, indent=1) + "\n")
    os.replace(scratch, path)
