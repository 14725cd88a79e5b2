//! The memory that reading a file may take beside the file's own pages: whatever a file describes is paid for before it is
//! made, so that a small file cannot ask for much.

/// Beside the file's own length, so many bytes may be made of it.
const SPARE: u64 = 48 << 20;

/// The bytes of a tensor in a checkpoint beside its name, which is there twice.
pub(crate) const TENSOR: u64 = 1024;

/// How much of a file's memory is left.
pub(crate) struct Budget {
    whole: u64,
    left: u64,
}

/// More would be made of a file than memory is given for.
#[derive(Debug)]
pub(crate) struct OverBudget {
    /// The bytes that it may take.
    pub most: u64,
    /// Those that were left.
    pub left: u64,
}

impl Budget {
    /// The budget of a file of so many bytes.
    pub fn of(length: usize) -> Self {
        let whole = length as u64 + SPARE;
        Self { whole, left: whole }
    }

    /// Pays for so many bytes.
    pub fn pay(&mut self, bytes: u64) -> Result<(), OverBudget> {
        let (most, left) = (self.whole, self.left);
        self.left = left.checked_sub(bytes).ok_or(OverBudget { most, left })?;
        Ok(())
    }
}
