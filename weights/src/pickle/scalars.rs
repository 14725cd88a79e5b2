//! The instructions that make numbers, strings and the like.

use std::rc::Rc;

use super::machine::{BOOL, Machine, NONE};
use super::value::Value;
use super::{PickleError, opcodes};

impl Machine<'_, '_> {
    /// Runs an instruction that makes a number, a string, or the like; whether it is one.
    pub(super) fn scalar(&mut self, opcode: u8) -> Result<bool, PickleError> {
        match opcode {
            opcodes::NONE => self.push_place(NONE)?,
            opcodes::NEWTRUE | opcodes::NEWFALSE => self.push_place(BOOL)?,
            opcodes::BININT => {
                let int = i32::from_le_bytes(self.bytes()?);
                self.push(Value::Int(int.into()))?;
            }
            opcodes::BININT1 => {
                let int = self.byte()?;
                self.push(Value::Int(int.into()))?;
            }
            opcodes::BININT2 => {
                let int = u16::from_le_bytes(self.bytes()?);
                self.push(Value::Int(int.into()))?;
            }
            opcodes::LONG1 => self.long(1)?,
            opcodes::LONG4 => self.long(4)?,
            opcodes::INT | opcodes::LONG => self.int_in_text()?,
            opcodes::BINFLOAT => {
                self.bytes::<8>()?;
                self.push_plain("a float")?;
            }
            opcodes::FLOAT => {
                self.line()?;
                self.push_plain("a float")?;
            }
            opcodes::SHORT_BINUNICODE => self.unicode(1)?,
            opcodes::BINUNICODE => self.unicode(4)?,
            opcodes::BINUNICODE8 => self.unicode(8)?,
            opcodes::UNICODE => {
                let line = self.line()?;
                self.quoted(&line)?;
            }
            opcodes::STRING => {
                let line = self.line()?;
                self.quoted(line.trim_matches(['\'', '"']))?;
            }
            opcodes::SHORT_BINSTRING => self.string(1)?,
            opcodes::BINSTRING => self.string(4)?,
            opcodes::SHORT_BINBYTES => self.raw(1)?,
            opcodes::BINBYTES => self.raw(4)?,
            opcodes::BINBYTES8 | opcodes::BYTEARRAY8 => self.raw(8)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// An integer of a number of bytes that itself takes `width` bytes; one that nothing here can count with is plain.
    fn long(&mut self, width: usize) -> Result<(), PickleError> {
        let length = self.length(width)?;
        let mut bytes = [0; 8];
        if length > bytes.len() {
            self.program.skip(length).ok_or_else(|| self.ends())?;
            return self.push_plain("a long integer");
        }
        let taken = self.program.take(length);
        let taken = taken.map(|taken| bytes[..length].copy_from_slice(taken));
        taken.ok_or_else(|| self.ends())?;
        // The topmost bit given is the sign.
        let unused = 8 * (8 - length as u32);
        let int = i64::from_le_bytes(bytes);
        let int = int.checked_shl(unused).unwrap_or(0) >> unused.min(63);
        self.push(Value::Int(int))
    }

    /// An integer in digits; 00 and 01 are how the first protocols write bools.
    fn int_in_text(&mut self) -> Result<(), PickleError> {
        let line = self.line()?;
        let digits = line.strip_suffix('L').unwrap_or(&line);
        match (digits, digits.parse()) {
            ("00" | "01", _) => self.push_place(BOOL),
            (_, Ok(int)) => self.push(Value::Int(int)),
            (_, Err(error)) => match error.kind() {
                std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                    self.push_plain("a long integer")
                }
                _ => Err(self.damaged("an integer is not one")),
            },
        }
    }

    fn unicode(&mut self, width: usize) -> Result<(), PickleError> {
        let length = self.length(width)?;
        let text = self.text(length)?;
        self.push(Value::Text(text))
    }

    /// A string of Python 2, which is text where it can be.
    fn string(&mut self, width: usize) -> Result<(), PickleError> {
        let length = self.length(width)?;
        self.pay_for_text(length)?;
        let text = self.program.take(length).map(|bytes| {
            let text = std::str::from_utf8(bytes);
            text.map(Rc::from)
        });
        match text {
            None => Err(self.ends()),
            Some(Ok(text)) => self.push(Value::Text(text)),
            Some(Err(_)) => self.push_plain("bytes"),
        }
    }

    /// A string that is written as in a program; one with escapes names no tensor.
    fn quoted(&mut self, text: &str) -> Result<(), PickleError> {
        match text.contains('\\') {
            true => self.push_plain("a string"),
            false => self.push(Value::Text(text.into())),
        }
    }

    fn raw(&mut self, width: usize) -> Result<(), PickleError> {
        let length = self.length(width)?;
        self.program.skip(length).ok_or_else(|| self.ends())?;
        self.push_plain("bytes")
    }
}
