//! Opening a file takes at most twice its length and 64 MB, whatever it describes: measured in a child.

use std::fs;
use std::path::Path;
use std::process::Command;

use ::weights::Checkpoint;
use tch::{Device, Kind};

use crate::archives::{Member, PROGRAM, archive};

/// The folder whose files the child opens.
const FOLDER: &str = "UNCLIP_TESTS_OPEN";
/// A shape's name, what comes before what is repeated, and what is: `{}` stands for a number of its own in three letters.
type Program = (&'static str, &'static [u8], &'static [u8]);

/// The length of each program, and of each header; `UNCLIP_TESTS_MEGABYTES` is for measurements by hand.
fn lengths() -> (usize, usize) {
    let megabytes = std::env::var("UNCLIP_TESTS_MEGABYTES").ok();
    match megabytes.and_then(|text| text.parse::<usize>().ok()) {
        Some(megabytes) => (megabytes << 20, megabytes << 20),
        None => (3 << 19, 8 << 20),
    }
}

/// A tensor's function and its arguments, remembered as 1 and 2.
const TENSOR: &[u8] = b"ctorch._utils\n_rebuild_tensor_v2\nq\x01((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu\
    K\x02tQK\0(K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01t(K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01t\x89ccollections\nOrderedDict\n)Rtq\x02";
/// The description of a storage, remembered as 1.
const STORAGE: &[u8] =
    b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x02tq\x01";
/// A dict of no entries, and a list of two hundred thousand pairs, remembered as 1 and 2.
const PAIRS: &[u8] = b"ccollections\nOrderedDict\nq\x01]q\x02";

const PROGRAMS: [Program; 28] = [
    ("tensors", TENSOR, b"h\x01h\x02R"),
    ("named tensors", b"", b"U\x03{}h\x03"),
    ("storages", STORAGE, b"h\x01Q"),
    ("lists", b"", b"]"),
    ("dicts", b"", b"}"),
    ("tuples", b"", b")"),
    ("tuples of one", b"", b"K\x01\x85"),
    ("tuples in tuples", b"K\x01", b"\x85"),
    ("tuples of three", b"K\x01q\x01", b"h\x01h\x01h\x01\x87"),
    ("marks", b"", b"("),
    ("twins", b"K\x01", b"2"),
    ("recalled", b"K\x01q\x01", b"h\x01"),
    ("remembered", b"K\x01", b"\x94"),
    ("remembered lists", b"", b"]\x94"),
    ("remembered by number", b"K\x01", b"r{}\0"),
    ("integers", b"", b"K\x01"),
    ("integers in text", b"", b"I1\n"),
    ("short strings", b"", b"U\0"),
    ("strings", b"", b"U\x03{}"),
    ("long strings", b"", b"X\x10\0\0\0................"),
    ("appended", b"]q\x01K\x01q\x020", b"h\x02a"),
    ("entries", b"}q\x01K\x01q\x020", b"h\x02h\x02s"),
    ("batches", b"K\x01q\x01]", b"(h\x01h\x01h\x01h\x01e"),
    ("globals", b"", b"ctorch\nSize\n"),
    ("dicts called", b"ccollections\nOrderedDict\nq\x01)q\x02", b"h\x01h\x02R"),
    ("dicts of pairs", PAIRS, b"h\x01h\x02\x85R"),
    ("none", b"", b"N"),
    ("popped", b"", b"K\x010"),
];

/// A program of about this length: what is repeated stands for as many bytes as are left.
fn program((name, before, repeated): Program, length: usize) -> Vec<u8> {
    let mut bytes = b"\x80\x02".to_vec();
    bytes.extend(before);
    match name {
        "named tensors" => {
            // A dict of one tensor under as many names.
            bytes.extend(TENSOR);
            bytes.extend(b"0h\x01h\x02Rq\x03}(");
        }
        "dicts of pairs" => {
            bytes.extend(b"(");
            bytes.extend(b"K\x01K\x01\x86q\x03");
            bytes.extend(b"h\x03".repeat(200_000));
            bytes.extend(b"e0");
        }
        _ => {}
    }
    let hole = repeated.windows(2).position(|hole| hole == b"{}");
    for number in 0..(length / repeated.len()) {
        match hole {
            None => bytes.extend(repeated),
            Some(at) => {
                bytes.extend(&repeated[..at]);
                let digits = [12, 6, 0].map(|shift| b'0' + (number >> shift & 63) as u8);
                bytes.extend(digits);
                bytes.extend(&repeated[at + 2..]);
            }
        }
    }
    match name {
        "named tensors" => bytes.extend(b"u."),
        _ => bytes.extend(b"0."),
    }
    bytes
}

/// The start of a safetensors file, whose header has this text.
fn safetensors(header: String) -> Vec<u8> {
    [(header.len() as u64).to_le_bytes().to_vec(), header.into_bytes()].concat()
}

fn headers(length: usize) -> Vec<(&'static str, Vec<u8>)> {
    let many = |open: &str, entry: &dyn Fn(usize) -> String, close: &str| {
        let count = length / entry(1 << 16).len();
        let entries: Vec<String> = (0..count).map(entry).collect();
        safetensors(format!("{open}{}{close}", entries.join(",")))
    };
    let empty = |n: usize| format!(r#""{n}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#);
    vec![
        ("header of tensors", many("{", &empty, "}")),
        ("header of metadata", many(r#"{"__metadata__":{"#, &|n| format!(r#""{n}":"""#), "}}")),
        (
            "header of sides",
            many(
                r#"{"w":{"dtype":"U8","shape":["#,
                &|_| "0".to_owned(),
                r#"],"data_offsets":[0,0]}}"#,
            ),
        ),
        ("header of a name", safetensors(format!(r#"{{"{}":0}}"#, "w".repeat(length)))),
        ("header of lists", safetensors(format!(r#"{{"w":{}"#, "[".repeat(length)))),
    ]
}

#[test]
fn opening_a_file_takes_memory_by_its_length() {
    let (programs_length, headers_length) = lengths();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    for shape in PROGRAMS {
        let program = program(shape, programs_length);
        write(&format!("{}.bin", shape.0), &archive(&[Member::new("a/data.pkl", &program)]));
    }
    let members: Vec<Member> = (0..programs_length / 120)
        .map(|n| Member::new(&format!("a/data/{n}"), b""))
        .take(65000)
        .chain([Member::new("a/data.pkl", PROGRAM)])
        .collect();
    write("members.bin", &archive(&members));
    for (name, bytes) in headers(headers_length) {
        write(&format!("{name}.safetensors"), &bytes);
    }
    let test = "memory_bounds::files_of_a_folder_are_opened";
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let output =
        String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    println!("{output}");
    assert!(ran.status.success(), "{output}");
    assert_eq!(output.matches(" bytes takes ").count(), PROGRAMS.len() + 6, "{output}");
}

/// Opens the files of a folder in a process of their own, where the test above asks for it.
#[test]
fn files_of_a_folder_are_opened() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let open = |path: &Path| Checkpoint::open(path, "a model", Device::Cpu, Kind::Float).map(drop);
    let base = kilobytes("VmRSS:");
    let mut wrong = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let length = path.metadata().unwrap().len();
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let start = std::time::Instant::now();
        let said = match open(&path) {
            Ok(()) => "it is read".to_owned(),
            Err(error) => error.to_string(),
        };
        let took = kilobytes("VmHWM:").saturating_sub(base) << 10;
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let said: String =
            said.chars().rev().take(100).collect::<Vec<_>>().into_iter().rev().collect();
        println!("{name} of {length} bytes takes {took} in {:?}: {said}", start.elapsed());
        if took > 2 * length + (64 << 20) {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

fn kilobytes(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
