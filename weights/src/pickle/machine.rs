//! The machine that runs a state dict's pickle. Values live in an arena and refer to each other by index, so deep nesting
//! and cycles need no recursion.

use std::collections::HashMap;
use std::rc::Rc;

use super::program::Program;
use super::value::{Global, Storage, Value};
use super::{PickleError, opcodes};

/// The most values, and the most things that are remembered: some 40 MB. A state dict makes about 15 a tensor.
const MOST_VALUES: usize = 1 << 20;
/// The most places of the stack and of tuples, lists and dicts: some 32 MB.
const MOST_PUSHES: usize = 1 << 22;
/// The longest line of a pickle in text: an integer of 2,000 digits is one.
const LONGEST_LINE: usize = 1 << 16;

/// Runs a pickle, the bytes of which are taken off `program`: what it made.
pub(super) fn run(program: &mut Program) -> Result<Made, PickleError> {
    let mut machine = Machine {
        start: program.at(),
        program,
        values: vec![Value::None, Value::Bool],
        plain: HashMap::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        storages: HashMap::new(),
        pushes: 0,
    };
    let result = loop {
        if let Some(result) = machine.step()? {
            break result;
        }
    };
    Ok(Made {
        values: machine.values,
        result,
        storages: machine.storages,
    })
}

/// What a pickle made.
pub(super) struct Made {
    /// All values.
    pub values: Vec<Value>,
    /// The place of the last.
    pub result: u32,
    /// Every storage by its name, those of tensors that nobody asks for too.
    pub storages: HashMap<Rc<str>, Rc<Storage>>,
}

/// The places of the two values that are always there.
const NONE: u32 = 0;
const BOOL: u32 = 1;

pub(super) struct Machine<'a, 'b> {
    program: &'a mut Program<'b>,
    start: usize,
    pub(super) values: Vec<Value>,
    /// The places of plain values, one of each kind.
    plain: HashMap<&'static str, u32>,
    stack: Vec<u32>,
    marks: Vec<usize>,
    memo: HashMap<u32, u32>,
    pub(super) storages: HashMap<Rc<str>, Rc<Storage>>,
    pushes: usize,
}

impl Machine<'_, '_> {
    pub(super) fn damaged(&self, reason: impl Into<String>) -> PickleError {
        PickleError::Program {
            at: self.program.at() - self.start,
            reason: reason.into(),
        }
    }

    fn ends(&self) -> PickleError {
        self.damaged("it ends too early")
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let taken = self.program.take(N);
        let taken = taken.map(|bytes| bytes.try_into().expect("as many bytes were taken"));
        taken.ok_or_else(|| self.ends())
    }

    fn byte(&mut self) -> Result<u8, PickleError> {
        self.bytes().map(|[byte]| byte)
    }

    /// A length of 1, 4 or 8 bytes.
    fn length(&mut self, bytes: usize) -> Result<usize, PickleError> {
        let taken = self.program.take(bytes).map(|bytes| {
            let mut length = [0; 8];
            length[..bytes.len()].copy_from_slice(bytes);
            u64::from_le_bytes(length)
        });
        let length = taken.ok_or_else(|| self.ends())?;
        usize::try_from(length).map_err(|_| self.ends())
    }

    fn text(&mut self, length: usize) -> Result<Rc<str>, PickleError> {
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

    fn line(&mut self) -> Result<Rc<str>, PickleError> {
        let line = self.program.line(LONGEST_LINE);
        let line = line.ok_or_else(|| self.damaged("a line does not end"))?;
        match String::from_utf8(line) {
            Ok(line) => Ok(line.into()),
            Err(_) => Err(self.damaged("a line is not UTF-8")),
        }
    }

    /// Puts a new value on the stack.
    pub(super) fn push(&mut self, value: Value) -> Result<(), PickleError> {
        let place = self.values.len();
        if place >= MOST_VALUES {
            return Err(PickleError::Values(MOST_VALUES));
        }
        self.values.push(value);
        self.push_place(place as u32)
    }

    pub(super) fn push_place(&mut self, place: u32) -> Result<(), PickleError> {
        self.pushes += 1;
        if self.pushes > MOST_PUSHES {
            return Err(PickleError::Values(MOST_PUSHES));
        }
        self.stack.push(place);
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

    fn top(&mut self) -> Result<u32, PickleError> {
        let top = self.pop()?;
        self.stack.push(top);
        Ok(top)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<u32>, PickleError> {
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

    fn tuple(&mut self, count: usize) -> Result<(), PickleError> {
        let mut items: Vec<u32> = (0..count).map(|_| self.pop()).collect::<Result<_, _>>()?;
        items.reverse();
        self.push(Value::Tuple(items))
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
        self.pushes += 1;
        if self.pushes > MOST_PUSHES {
            return Err(PickleError::Values(MOST_PUSHES));
        }
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

    /// Runs an instruction that makes a number, a string, or the like; whether it is one.
    fn scalar(&mut self, opcode: u8) -> Result<bool, PickleError> {
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

    /// Runs an instruction that makes or fills a tuple, a list, a dict or a set; whether it is one.
    fn container(&mut self, opcode: u8) -> Result<bool, PickleError> {
        match opcode {
            opcodes::EMPTY_TUPLE => self.tuple(0)?,
            opcodes::TUPLE1 => self.tuple(1)?,
            opcodes::TUPLE2 => self.tuple(2)?,
            opcodes::TUPLE3 => self.tuple(3)?,
            opcodes::TUPLE => {
                let items = self.pop_to_mark()?;
                self.push(Value::Tuple(items))?;
            }
            opcodes::EMPTY_LIST => self.push(Value::List(Vec::new()))?,
            opcodes::LIST => {
                let items = self.pop_to_mark()?;
                self.push(Value::List(items))?;
            }
            opcodes::APPEND => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            opcodes::APPENDS => {
                let items = self.pop_to_mark()?;
                self.append(&items)?;
            }
            opcodes::EMPTY_DICT => self.push(Value::Dict(Vec::new()))?,
            opcodes::DICT => {
                let items = self.pop_to_mark()?;
                self.push(Value::Dict(Vec::new()))?;
                self.set(&items)?;
            }
            opcodes::SETITEM => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])?;
            }
            opcodes::SETITEMS => {
                let items = self.pop_to_mark()?;
                self.set(&items)?;
            }
            opcodes::EMPTY_SET => self.push_plain("a set")?,
            opcodes::ADDITEMS => {
                self.pop_to_mark()?;
                self.top()?;
            }
            opcodes::FROZENSET => {
                self.pop_to_mark()?;
                self.push_plain("a set")?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn append(&mut self, items: &[u32]) -> Result<(), PickleError> {
        let list = self.top()?;
        match &mut self.values[list as usize] {
            Value::List(list) => list.extend(items),
            _ => return Err(self.damaged("an item is appended to what is no list")),
        }
        Ok(())
    }

    fn set(&mut self, items: &[u32]) -> Result<(), PickleError> {
        let dict = self.top()?;
        if !items.len().is_multiple_of(2) {
            return Err(self.damaged("a key has no value"));
        }
        let Value::Dict(entries) = &mut self.values[dict as usize] else {
            return Err(self.damaged("an entry is set in what is no dict"));
        };
        entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        Ok(())
    }

    /// Runs an instruction that remembers a value or recalls one; whether it is one.
    fn remember(&mut self, opcode: u8) -> Result<bool, PickleError> {
        match opcode {
            opcodes::MEMOIZE => self.put(self.memo.len())?,
            opcodes::BINPUT => {
                let place = self.length(1)?;
                self.put(place)?;
            }
            opcodes::LONG_BINPUT => {
                let place = self.length(4)?;
                self.put(place)?;
            }
            opcodes::PUT => {
                let place = self.place_in_text()?;
                self.put(place)?;
            }
            opcodes::BINGET => {
                let place = self.length(1)?;
                self.get(place)?;
            }
            opcodes::LONG_BINGET => {
                let place = self.length(4)?;
                self.get(place)?;
            }
            opcodes::GET => {
                let place = self.place_in_text()?;
                self.get(place)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn place_in_text(&mut self) -> Result<usize, PickleError> {
        let place = self.line()?.parse::<u32>();
        let place = place.map_err(|_| self.damaged("a place of its memory is no number"))?;
        Ok(place as usize)
    }

    fn put(&mut self, place: usize) -> Result<(), PickleError> {
        let value = self.top()?;
        if self.memo.len() >= MOST_VALUES {
            return Err(PickleError::Values(MOST_VALUES));
        }
        self.memo.insert(place as u32, value);
        Ok(())
    }

    fn get(&mut self, place: usize) -> Result<(), PickleError> {
        match self.memo.get(&(place as u32)) {
            Some(value) => self.push_place(*value),
            None => Err(self.damaged(format!("nothing was remembered as {place}"))),
        }
    }
}
