//! A budget of memory for reading a file, beside the file's own pages: each value is paid for before it is made, so that
//! a small file cannot allocate much.

/// The bytes that may be made of a file beside its own length.
const SPARE: u64 = 48 << 20;

/// The bytes of a tensor in a checkpoint beside its name, which is there twice.
pub(crate) const TENSOR: u64 = 1024;

/// The bytes of a budget, and those that are left of it.
pub(crate) struct Budget {
    whole: u64,
    left: u64,
}

/// More would be made of a file than its budget.
#[derive(Debug)]
pub(crate) struct OverBudget {
    /// The bytes that it may take.
    pub most: u64,
    /// Those that were left.
    pub left: u64,
}

impl Budget {
    /// The budget of a file of so many bytes.
    pub(crate) fn of(length: usize) -> Self {
        let whole = length as u64 + SPARE;
        Self { whole, left: whole }
    }

    /// Pays for so many bytes.
    pub(crate) fn pay(&mut self, bytes: u64) -> Result<(), OverBudget> {
        let (most, left) = (self.whole, self.left);
        self.left = left.checked_sub(bytes).ok_or(OverBudget { most, left })?;
        Ok(())
    }
}
