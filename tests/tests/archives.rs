//! Archives of PyTorch's that two readers may read differently are refused, and so are those with a wrong CRC-32.

use ::weights::{Checkpoint, Error};
use layers::{Init, Source};
use tch::{Device, Kind};

use crate::pickles::data;

/// A state dict of one tensor, `w`, of two numbers in the storage called 0.
pub(crate) const PROGRAM: &[u8] = b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storage\
    ctorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x02tQK\0K\x02\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtRs.";

/// A member of an archive, stored: what its header says where it lies, and what the directory says.
#[derive(Clone)]
pub(crate) struct Member {
    bytes: Vec<u8>,
    local: Header,
    central: Header,
    /// The place that the directory gives, where it is another than its own.
    place: Option<usize>,
    listed: bool,
}

#[derive(Clone)]
struct Header {
    name: String,
    method: u16,
    crc: u32,
    size: u32,
}

impl Member {
    pub(crate) fn new(name: &str, bytes: &[u8]) -> Self {
        let header = Header {
            name: name.to_owned(),
            method: 0,
            crc: crc32fast::hash(bytes),
            size: bytes.len() as u32,
        };
        Self {
            bytes: bytes.to_vec(),
            local: header.clone(),
            central: header,
            place: None,
            listed: true,
        }
    }
}

/// The fields that both kinds of header have, from the method on.
fn header(header: &Header) -> Vec<u8> {
    let mut bytes = header.method.to_le_bytes().to_vec();
    bytes.extend([0; 4]);
    for field in [header.crc, header.size, header.size] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend((header.name.len() as u16).to_le_bytes());
    bytes.extend([0; 2]);
    bytes
}

/// An archive of these members, whose end says that it has `count` of them.
fn archive_of(members: &[Member], count: u16, comment: &[u8]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for member in members {
        let place = member.place.unwrap_or(bytes.len()) as u32;
        bytes.extend(b"PK\x03\x04\x14\0\0\0");
        bytes.extend(header(&member.local));
        bytes.extend(member.local.name.as_bytes());
        bytes.extend(&member.bytes);
        if member.listed {
            directory.extend(b"PK\x01\x02\x14\0\x14\0\0\0");
            directory.extend(header(&member.central));
            directory.extend([0; 10]);
            directory.extend(place.to_le_bytes());
            directory.extend(member.central.name.as_bytes());
        }
    }
    let start = bytes.len() as u32;
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([count, count].map(u16::to_le_bytes).concat());
    bytes.extend((directory.len() as u32).to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend((comment.len() as u16).to_le_bytes());
    bytes.extend(comment);
    bytes
}

pub(crate) fn archive(members: &[Member]) -> Vec<u8> {
    let listed = members.iter().filter(|member| member.listed).count();
    archive_of(members, listed as u16, b"")
}

fn numbers() -> Vec<u8> {
    [1.5f32, -2.0].map(f32::to_le_bytes).concat()
}

fn sound() -> Vec<Member> {
    let little: &[u8] = b"little";
    let members = [
        ("a/data.pkl", PROGRAM),
        ("a/byteorder", little),
        ("a/data/0", &numbers()),
        ("a/version", b"3\n"),
    ];
    members.map(|(name, bytes)| Member::new(name, bytes)).to_vec()
}

fn open(bytes: &[u8]) -> Result<Checkpoint, Error> {
    Checkpoint::from_bytes("a.bin", bytes, "the prior", Device::Cpu, Kind::Float)
}

fn refuses(bytes: &[u8], sentence: &str) {
    let Err(error) = open(bytes) else { panic!("accepted: {sentence}") };
    let message = error.to_string();
    assert!(message.starts_with("a.bin cannot be read as a PyTorch state dict: "), "{message}");
    assert!(message.contains(sentence), "{message} / {sentence}");
}

fn reads(bytes: &[u8]) {
    let checkpoint = open(bytes).unwrap();
    let taken = checkpoint.take("w", &[2], Init::Zeros);
    checkpoint.finish().unwrap();
    assert_eq!(Vec::<f32>::try_from(taken).unwrap(), [1.5, -2.0]);
}

#[test]
fn archives_that_are_read_alike_everywhere_are_read() {
    reads(&archive(&sound()));
    reads(&archive_of(&sound(), 4, b"a comment"));
    let folders = ["a/", "a/data/"].map(|name| Member::new(name, b""));
    reads(&archive(&[&folders[..], &sound()].concat()));
    let mut moved = sound();
    moved.rotate_left(2);
    reads(&archive(&moved));
}

#[test]
fn members_of_several_folders_or_of_one_name_are_refused() {
    let zeros = [0; 8];
    let with =
        |name: &str, bytes: &[u8]| archive(&[sound(), vec![Member::new(name, bytes)]].concat());
    for (name, sentence) in [
        ("b/data/0", "b/data/0 lies outside a/, the folder of its data.pkl"),
        ("data/0", "data/0 lies outside a/"),
        ("a/data/0", "a/data/0 is in it twice"),
        ("a/Data/0", "a/Data/0 is in it twice"),
        ("a/data/0/", "a/data/0/ is in it twice"),
        ("a/./data/0", r#""a/./data/0" is no plain name"#),
        ("a//data/0", "is no plain name"),
        ("/a/data/0", "is no plain name"),
        ("a/b/../data/0", "is no plain name"),
        (r"a\data\0", "is no plain name"),
    ] {
        refuses(&with(name, &zeros), sentence);
    }
    refuses(&with("b/data.pkl", PROGRAM), "data.pkl is in it twice, as a/data.pkl and b/data.pkl");
    refuses(&with("a/b/data.pkl", PROGRAM), "data.pkl is in it twice");
}

#[test]
fn a_member_that_is_not_what_the_directory_says_is_refused() {
    let changed = |edit: &dyn Fn(&mut Member)| {
        let mut members = sound();
        edit(&mut members[2]);
        archive(&members)
    };
    refuses(
        &changed(&|m| m.local.name = "a/data/1".to_owned()),
        "a/data/0 has another name where it lies",
    );
    refuses(&changed(&|m| m.local.crc ^= 1), "a/data/0 has another CRC-32 where it lies");
    refuses(&changed(&|m| m.local.size = 4), "a/data/0 has another size where it lies");
    refuses(&changed(&|m| m.local.method = 8), "a/data/0 has another way of packing where it lies");
    refuses(&changed(&|m| m.central.size = 4), "a/data/0 has another size where it lies");
    let both = |m: &mut Member, size| (m.local.size, m.central.size) = (size, size);
    refuses(&changed(&|m| both(m, 4)), "4 bytes before a/version belong to nothing");
    refuses(&changed(&|m| both(m, 9)), "a/version overlaps with what lies before it");
    refuses(&changed(&|m| m.place = Some(0)), "overlaps with what lies before it");
    refuses(&changed(&|m| m.listed = false), "bytes before a/version belong to nothing");
    refuses(&archive_of(&sound(), 3, b""), "it says that it has 3 members, and lists 4");

    let mut hidden = sound();
    let mut first = Member::new("a/data.pkl", b"another program");
    first.listed = false;
    hidden.insert(0, first);
    refuses(&archive(&hidden), "bytes before a/data.pkl belong to nothing");
    refuses(
        &[archive(&sound()), b"more".to_vec()].concat(),
        "4 bytes before its end belong to nothing",
    );
    // An archive in the comment of another, whose directory is not where it says.
    let inner = archive(&sound());
    refuses(&archive_of(&sound(), 4, &inner), "it is damaged or cut short");
}

#[test]
fn a_flipped_bit_in_an_archive_is_found() {
    let whole = archive(&sound());
    let place =
        |bytes: &[u8]| whole.windows(bytes.len()).position(|window| window == bytes).unwrap();
    for (at, name) in [(place(&numbers()) + 1, "a/data/0"), (place(PROGRAM) + 8, "a/data.pkl")] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        refuses(&bytes, &format!("its file {name} is damaged: its CRC-32 is "));
    }
    // In files of PyTorch's and of others', packed and not, every bit of what is read.
    for name in ["nested.bin", "deflated.bin", "zip64.bin"] {
        let whole = data(name);
        let numbers = |bytes: &[u8]| {
            let checkpoint = open(bytes).ok()?;
            let shape = checkpoint.shape("whole")?.to_vec();
            Some(
                Vec::<f32>::try_from(checkpoint.take("whole", &shape, Init::Zeros).reshape([-1]))
                    .unwrap(),
            )
        };
        let sound = numbers(&whole);
        for at in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[at] ^= 4;
            let read = numbers(&bytes);
            assert!(read.is_none() || read == sound, "{name}, byte {at}");
        }
    }
}

#[test]
fn what_follows_a_legacy_file_or_is_in_it_twice_is_refused() {
    let whole = data("legacy.bin");
    refuses(&[&whole[..], b"\0"].concat(), "1 bytes follow its last storage");
}
