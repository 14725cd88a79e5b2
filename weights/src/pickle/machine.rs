//! The machine that runs a state dict's pickle. Values live in an arena and refer to each other by index, so deep nesting
//! and cycles need no recursion.

use std::collections::HashMap;
use std::rc::Rc;

use super::program::Program;
use super::value::{ENTRY, Global, PLACE, Storage, Value};
use super::{PickleError, opcodes};
use crate::budget::Budget;

/// The bytes of a value beside what it points to, with its list's room to grow.
const VALUE: usize = 64;
/// The longest line of a pickle in text: an integer of 2,000 digits is one.
const LONGEST_LINE: usize = 1 << 16;

/// Runs a pickle, the bytes of which are taken off `program`: what it made, of which `budget` bears the memory.
pub(super) fn run(program: &mut Program, budget: &mut Budget) -> Result<ValueGraph, PickleError> {
    let mut machine = Machine {
        start: program.at(),
        program,
        budget,
        values: vec![Value::None, Value::Bool],
        plain: HashMap::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        storages: HashMap::new(),
        deepest: 0,
    };
    let result = loop {
        if let Some(result) = machine.step()? {
            break result;
        }
    };
    Ok(ValueGraph { values: machine.values, result, storages: machine.storages })
}

/// The result of a pickle.
pub(super) struct ValueGraph {
    /// All values.
    pub values: Vec<Value>,
    /// The place of the last.
    pub result: u32,
    /// Every storage by its name, those of tensors that nobody asks for too.
    pub storages: HashMap<Rc<str>, Rc<Storage>>,
}

/// The places of the two values that are always there.
pub(super) const NONE: u32 = 0;
pub(super) const BOOL: u32 = 1;

pub(super) struct Machine<'a, 'b> {
    pub(super) program: &'a mut Program<'b>,
    start: usize,
    budget: &'a mut Budget,
    pub(super) values: Vec<Value>,
    /// The places of plain values, one of each kind.
    plain: HashMap<&'static str, u32>,
    stack: Vec<u32>,
    marks: Vec<usize>,
    pub(super) memo: HashMap<u32, u32>,
    pub(super) storages: HashMap<Rc<str>, Rc<Storage>>,
    /// The most values and marks that the stack has had.
    deepest: usize,
}

impl Machine<'_, '_> {
    pub(super) fn damaged(&self, reason: impl Into<String>) -> PickleError {
        PickleError::Program { at: self.program.at() - self.start, reason: reason.into() }
    }

    /// Pays for memory of so many bytes, which is allocated next.
    pub(super) fn pay(&mut self, bytes: usize) -> Result<(), PickleError> {
        Ok(self.budget.pay(bytes as u64)?)
    }

    pub(super) fn ends(&self) -> PickleError {
        self.damaged("it ends too early")
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let taken = self.program.take(N);
        let taken = taken.map(|bytes| bytes.try_into().expect("as many bytes were taken"));
        taken.ok_or_else(|| self.ends())
    }

    pub(super) fn byte(&mut self) -> Result<u8, PickleError> {
        self.bytes().map(|[byte]| byte)
    }

    /// A length of 1, 4 or 8 bytes.
    pub(super) fn length(&mut self, bytes: usize) -> Result<usize, PickleError> {
        let taken = self.program.take(bytes).map(|bytes| {
            let mut length = [0; 8];
            length[..bytes.len()].copy_from_slice(bytes);
            u64::from_le_bytes(length)
        });
        let length = taken.ok_or_else(|| self.ends())?;
        usize::try_from(length).map_err(|_| self.ends())
    }

    pub(super) fn text(&mut self, length: usize) -> Result<Rc<str>, PickleError> {
        self.pay_for_text(length)?;
        let text = self.program.take(length).map(|bytes| {
            let text = std::str::from_utf8(bytes);
            text.map(Rc::from)
        });
        match text {
            None => Err(self.ends()),
            Some(Ok(text)) => Ok(text),
            Some(Err(_)) => Err(self.damaged("a string is not UTF-8")),
        }
    }

    /// Pays for a string and for the bytes of the program that it is read from, which must be there.
    pub(super) fn pay_for_text(&mut self, length: usize) -> Result<(), PickleError> {
        if !self.program.has(length) {
            return Err(self.ends());
        }
        // Once in the window and once as a string.
        self.pay(2 * length + ENTRY)
    }

    pub(super) fn line(&mut self) -> Result<Rc<str>, PickleError> {
        let line = self.program.line(LONGEST_LINE);
        let line = line.ok_or_else(|| self.damaged("a line does not end"))?;
        self.pay(line.len() + ENTRY)?;
        match String::from_utf8(line) {
            Ok(line) => Ok(line.into()),
            Err(_) => Err(self.damaged("a line is not UTF-8")),
        }
    }

    /// Puts a new value on the stack.
    pub(super) fn push(&mut self, value: Value) -> Result<(), PickleError> {
        self.pay(VALUE + value.extent())?;
        let place = self.values.len() as u32;
        self.values.push(value);
        self.push_place(place)
    }

    pub(super) fn push_place(&mut self, place: u32) -> Result<(), PickleError> {
        self.deepen()?;
        self.stack.push(place);
        Ok(())
    }

    /// Pays for one more value or mark on the stack where it has never had as many.
    fn deepen(&mut self) -> Result<(), PickleError> {
        let depth = self.stack.len() + self.marks.len() + 1;
        if depth > self.deepest {
            self.deepest = depth;
            self.pay(2 * PLACE)?;
        }
        Ok(())
    }

    /// Puts a value on the stack that is no tensor and is not looked into.
    pub(super) fn push_plain(&mut self, what: &'static str) -> Result<(), PickleError> {
        match self.plain.get(what) {
            Some(&place) => self.push_place(place),
            None => {
                self.plain.insert(what, self.values.len() as u32);
                self.push(Value::Plain(what))
            }
        }
    }

    pub(super) fn pop(&mut self) -> Result<u32, PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(self.damaged("its stack is empty"));
        }
        Ok(self.stack.pop().expect("the stack is above its floor"))
    }

    pub(super) fn top(&mut self) -> Result<u32, PickleError> {
        let top = self.pop()?;
        self.stack.push(top);
        Ok(top)
    }

    pub(super) fn pop_to_mark(&mut self) -> Result<Vec<u32>, PickleError> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => Err(self.damaged("a mark is missing")),
        }
    }

    fn pop_text(&mut self) -> Result<Rc<str>, PickleError> {
        let place = self.pop()?;
        match &self.values[place as usize] {
            Value::Text(text) => Ok(text.clone()),
            other => Err(self.damaged(format!("{} stands where a string should", other.what()))),
        }
    }

    /// Runs one instruction; the last gives the place of the result.
    fn step(&mut self) -> Result<Option<u32>, PickleError> {
        let opcode = self.byte()?;
        match opcode {
            opcodes::PROTO => drop(self.byte()?),
            opcodes::FRAME => drop(self.bytes::<8>()?),
            opcodes::STOP => return self.pop().map(Some),
            opcodes::MARK => self.mark()?,
            opcodes::POP_MARK => drop(self.pop_to_mark()?),
            opcodes::POP => self.drop_top()?,
            opcodes::DUP => {
                let top = self.top()?;
                self.push_place(top)?;
            }
            opcodes::GLOBAL => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(Global::named(&module, &name)?))?;
            }
            opcodes::STACK_GLOBAL => {
                let (name, module) = (self.pop_text()?, self.pop_text()?);
                self.push(Value::Global(Global::named(&module, &name)?))?;
            }
            opcodes::BINPERSID => self.storage()?,
            opcodes::REDUCE => self.call()?,
            opcodes::NEWOBJ => self.make()?,
            opcodes::BUILD => self.build()?,
            _ if self.scalar(opcode)? || self.container(opcode)? || self.remember(opcode)? => {}
            other => return Err(PickleError::Opcode(opcodes::name(other))),
        }
        Ok(None)
    }

    fn mark(&mut self) -> Result<(), PickleError> {
        self.deepen()?;
        self.marks.push(self.stack.len());
        Ok(())
    }

    /// Takes off the stack its last value, or the mark that is above it.
    fn drop_top(&mut self) -> Result<(), PickleError> {
        match self.marks.last() {
            Some(&mark) if mark == self.stack.len() => drop(self.marks.pop()),
            _ => drop(self.pop()?),
        }
        Ok(())
    }
}
