//! The SIMD instructions of our kernels.

use files::text::excerpt;
use kernels::{Simd, set_simd};

/// Has kernels use the instructions that `UNCLIP_SIMD` names; the widest that the processor has where it is empty.
pub(crate) fn set() -> Result<(), String> {
    let name = std::env::var_os("UNCLIP_SIMD").unwrap_or_default();
    match name.to_string_lossy().trim() {
        "" => Ok(()),
        name => {
            let simd: Simd = name
                .parse()
                .map_err(|reason| format!("UNCLIP_SIMD is {}: {reason}", excerpt(name)))?;
            set_simd(simd);
            Ok(())
        }
    }
}
