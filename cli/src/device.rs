//! Where the networks compute, and in what kind of numbers.

use std::ffi::CStr;
use std::path::Path;

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;
use tch::{Cuda, Device, Kind};

use crate::launch::launch;
use crate::messages::say;

/// The values of `--device`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceChoice {
    /// The first GPU where there is one, else the CPU. Of several processes that a launcher started on this machine each has its
    /// own, as far as they go.
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU: that of this number, or as `Auto` takes it.
    Cuda(Option<usize>),
}

/// Reads `auto`, `cpu`, `cuda` or `cuda:N`.
pub(crate) fn parse(text: &str) -> Result<DeviceChoice, String> {
    match text {
        "auto" => Ok(DeviceChoice::Auto),
        "cpu" => Ok(DeviceChoice::Cpu),
        "cuda" => Ok(DeviceChoice::Cuda(None)),
        _ => text
            .strip_prefix("cuda:")
            .and_then(|number| number.parse().ok())
            .map(|number| DeviceChoice::Cuda(Some(number)))
            .ok_or_else(|| "a device is auto, cpu, cuda or cuda:N".to_owned()),
    }
}

impl DeviceChoice {
    /// The device itself; refuses a GPU that is not there.
    pub(crate) fn find(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Auto if !has_driver() => Ok(Device::Cpu),
            Self::Auto => Ok(match load_cuda() {
                Ok(()) if gpus() > 0 => Device::Cuda(local_rank() % gpus() as usize),
                _ => Device::Cpu,
            }),
            Self::Cuda(number) => {
                let is_chosen = number.is_some();
                let number = number.unwrap_or_else(local_rank);
                if let Err(reason) = load_cuda() {
                    bail!(
                        "--device cuda:{number}: libtorch's CUDA half does not load, and bin/setup --cuda brings it ({reason})"
                    );
                }
                let count = gpus();
                ensure!(
                    count > 0 && (!is_chosen || (number as i64) < count),
                    "--device cuda:{number}: libtorch finds {count} GPUs on this machine"
                );
                Ok(Device::Cuda(if is_chosen { number } else { number % count as usize }))
            }
        }
    }
}

/// The number of this process on its machine.
fn local_rank() -> usize {
    launch().ok().flatten().map_or(0, |launch| launch.local_rank)
}

/// The values of `--dtype`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dtype {
    /// 32 bits.
    F32,
    /// 16 bits with f32's range.
    Bf16,
    /// 16 bits, on a GPU.
    F16,
}

impl Dtype {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }

    /// The fastest to train in on this device: bf16 where it computes in that.
    #[cfg(feature = "lab")]
    pub(crate) fn for_training(device: Device) -> Self {
        if has_bf16(device) { Self::Bf16 } else { Self::F32 }
    }

    /// Says what bf16 costs where the device does not compute in it.
    pub(crate) fn warn_of_cost(self, device: Device) {
        if self == Self::Bf16 && !has_bf16(device) {
            say!(
                "warning: this processor has no bf16 arithmetic: --dtype bf16 computes in f32 and rounds, and takes half as long again"
            );
        }
    }

    /// libtorch's name for it.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
            Self::F16 => Kind::Half,
        }
    }
}

/// The values of `--weights`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WeightDtype {
    /// As the networks compute.
    F32,
    /// 16 bits, beside networks that compute in f32.
    Bf16,
}

impl WeightDtype {
    /// The argument that a record has of it.
    pub(crate) fn argument(self) -> Option<(String, serde_json::Value)> {
        (self == Self::Bf16).then(|| ("weights".to_owned(), "bf16".into()))
    }
}

/// Whether this device computes in bf16 itself. A CPU that does not converts each number to f32 and back.
fn has_bf16(device: Device) -> bool {
    match device {
        Device::Cpu => kernels::has_bf16(),
        _ => true,
    }
}

/// Whether a driver for NVIDIA's GPUs is loaded; asking libtorch instead would load gigabytes first.
fn has_driver() -> bool {
    ["/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg"]
        .iter()
        .any(|path| Path::new(path).exists())
}

fn gpus() -> i64 {
    if Cuda::is_available() { Cuda::device_count() } else { 0 }
}

/// Loads libtorch's CUDA half, which linkers leave out because no symbol of it is named; it makes itself known to the
/// other half, and must do so before libtorch is first asked about GPUs. An error, in the system's words, where it or a
/// library that it needs is not there.
fn load_cuda() -> Result<(), String> {
    // SAFETY: the name ends in NUL, and the library's initialisers are those that linking against it would run. It is
    // never closed.
    let library = unsafe { libc::dlopen(NAME.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if !library.is_null() {
        return Ok(());
    }
    // SAFETY: after a failure dlerror returns a text that stands until this thread's next such call.
    let reason = unsafe { libc::dlerror().as_ref().map(|text| CStr::from_ptr(text)) };
    Err(reason.map_or_else(String::new, |text| text.to_string_lossy().into_owned()))
}

const NAME: &CStr = c"libtorch_cuda.so";
