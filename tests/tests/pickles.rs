//! PyTorch's state dicts: tensors are read, everything else is refused by name, and no damage panics.

use std::path::Path;

use ::weights::{Checkpoint, Error, save_safetensors};
use layers::{Init, Source};
use tch::{Device, Kind, Tensor};

use crate::weights::{named, numbers};

pub(crate) fn data(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("data/weights").join(name)).unwrap()
}

fn open_pickle(bytes: &[u8]) -> Result<Checkpoint, Error> {
    Checkpoint::from_bytes("a file.bin", bytes, "the prior", Device::Cpu, Kind::Float)
}

/// The file with one place of it changed.
fn patched(name: &str, old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut bytes = data(name);
    patch(&mut bytes, old, new);
    bytes
}

fn patch(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    assert_eq!(old.len(), new.len());
    let members = members(bytes);
    let at = place(bytes, old);
    bytes[at..at + new.len()].copy_from_slice(new);
    // Checksums are to be right, so that more than them is met: each stands in the headers around its member.
    for (place, crc) in members {
        let new = crc32fast::hash(&bytes[place]).to_le_bytes();
        while crc != new && bytes.windows(4).any(|window| window == crc) {
            let at = self::place(bytes, &crc);
            bytes[at..at + 4].copy_from_slice(&new);
        }
    }
}

fn place(bytes: &[u8], part: &[u8]) -> usize {
    let mut windows = bytes.windows(part.len());
    windows.position(|window| window == part).expect("the place is there")
}

/// Where the members of an archive lie, and their checksums.
fn members(bytes: &[u8]) -> Vec<(std::ops::Range<usize>, [u8; 4])> {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    let count = archive.len();
    let member = |at| {
        let member = archive.by_index(at).unwrap();
        let start = member.data_start() as usize;
        let place = start..start + member.compressed_size() as usize;
        (place, member.crc32().to_le_bytes())
    };
    (0..count).map(member).collect()
}

#[test]
fn state_dicts_of_pytorch_are_read() {
    // As torch.save writes them today and wrote them before 1.6, with what trainers put beside tensors in every protocol,
    // and packed again.
    for name in [
        "nested.bin",
        "protocol4.bin",
        "legacy.bin",
        "legacy1.bin",
        "beside1.bin",
        "beside2.bin",
        "beside3.bin",
        "beside4.bin",
        "beside5.bin",
        "deflated.bin",
        "flat.bin",
        "zip64.bin",
    ] {
        let checkpoint = open_pickle(&data(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let take = |name: &str, shape: &[i64]| checkpoint.take(name, shape, Init::Zeros);
        let floats = |tensor: Tensor| Vec::<f32>::try_from(tensor.reshape([-1])).unwrap();
        let counted: Vec<f32> = (0..24).map(|n| n as f32).collect();
        assert_eq!(floats(take("whole", &[4, 6])), counted);
        assert_eq!(floats(take("part", &[6])), counted[6..12]);
        assert_eq!(floats(take("turned", &[3, 2])), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(floats(take("half", &[3])), [1.5, -2.0, 0.25]);
        assert_eq!(floats(take("bf16", &[2])), [1.5, -2.0]);
        assert_eq!(floats(take("double", &[1])), [0.125]);
        assert!(floats(take("none", &[0, 4])).is_empty());
        assert_eq!(floats(take("scalar", &[])), [2.5]);
        assert_eq!(floats(take("parameter", &[2])), [4.0, 5.0]);
        for name in ["long", "int", "bool"] {
            let shape = checkpoint.shape(name).unwrap().to_vec();
            let _ = take(name, &shape);
        }
        let Err(Error::Tensors { mut problems, .. }) = checkpoint.finish() else {
            panic!("{name}")
        };
        let mistyped = [("long", "I64"), ("int", "I32"), ("bool", "BOOL")]
            .map(|(name, dtype)| (name.to_owned(), dtype));
        assert_eq!(std::mem::take(&mut problems.mistyped), mistyped);
        assert!(problems.is_empty(), "{problems}");
    }
}

#[test]
fn a_pickle_that_is_more_than_tensors_is_refused_by_name() {
    // whole, [4, 6] with strides [6, 1] of 24 numbers, becomes [255, 6] with strides [0, 0].
    let mut repeated = patched("nested.bin", b"K\x04K\x06\x86", b"K\xffK\x06\x86");
    patch(&mut repeated, b"K\x06K\x01\x86", b"K\x00K\x00\x86");
    let cases = [
        (data("hostile.bin"), "it asks for posix.system, and only tensors are read"),
        (
            data("module.bin"),
            "it asks for torch.nn.modules.linear.Linear, and only tensors are read",
        ),
        (module(b"c__torch__.net\nNet\n)R."), "a function has unknown arguments"),
        (module(&module_within_itself()), "its modules are nested more than 64 deep"),
        (module(&shared_modules(60)), "bytes of memory, and no state dict of its length does"),
        (module(b"c__torch__.net\nNet\n)\x81}b."), "it holds no tensor, only a module without any"),
        (data("no_tensor.bin"), "it holds no tensor, only epoch (an integer), model (a dict)"),
        (
            data("several.bin"),
            "it holds several dicts of tensors, as model and ema: the one that is the model must",
        ),
        (data("bzip2.bin"), "is encrypted, or packed otherwise than by deflate"),
        (large_when_unpacked(), "data.pkl unpacks to 268435456 bytes, and 50"),
        (data("legacy.bin")[..1000].to_vec(), "its pickle is damaged at byte"),
        (
            data("legacy.bin")[..1900].to_vec(),
            "it is damaged or cut short: it ends at byte 1900 before storage",
        ),
        (
            legacy(&[b"]".repeat(1 << 21), b".".to_vec()].concat()),
            "bytes of memory, and no state dict of its length does",
        ),
        (b"\x80\x02K\x01.".to_vec(), "it is not what torch.save writes"),
        (data("list.bin"), "it holds a list where a dict of tensors is wanted"),
        (module(b"K\x01\x85."), "it holds a tuple of other things than tensors where a dict of"),
        (module(b")."), "it holds an empty tuple where a dict of tensors is wanted"),
        (
            patched("nested.bin", b"\x80\x02}", b"\x80\x02\x8f"),
            "an entry is set in what is no dict",
        ),
        (patched("nested.bin", b"\x80\x02}", b"\x80\x02i"), "it has the pickle instruction INST"),
        (
            patched("nested.bin", b"\x80\x02}", b"\x80\x02\xfe"),
            "it has the pickle instruction number 254",
        ),
        (
            patched("nested.bin", b"K\x04K\x06\x86", b"K\x05K\x06\x86"),
            "tensor whole is damaged: [5, 6] with strides [6, 1]",
        ),
        (repeated, "tensor whole is damaged: it has more numbers than its storage"),
        (
            patched("nested.bin", b"K\x06K\x01\x86", b"K\xffK\x01\x86"),
            "leaves its storage of 24 numbers",
        ),
        (patched("nested.bin", b"K\x18t", b"K\xfft"), "storage 0 is described in two ways"),
        (
            patched("nested.bin", b"K\x03t", b"K\xfft"),
            "its storage of 255 numbers of 2 bytes has 6 bytes",
        ),
        (patched("nested.bin", b"little", b"bigger"), "its numbers are not in little-endian order"),
        (data("nested.bin")[..3000].to_vec(), "it is damaged or cut short"),
    ];
    for (bytes, sentence) in cases {
        let error = open_pickle(&bytes).err().unwrap_or_else(|| panic!("accepted: {sentence}"));
        assert!(matches!(error, Error::Pickle { .. }), "{error}");
        let message = error.to_string();
        assert!(
            message.starts_with("a file.bin cannot be read as a PyTorch state dict: "),
            "{message}"
        );
        assert!(message.contains(sentence), "{message} / {sentence}");
    }
}

/// The start of a file of before PyTorch 1.6: the magic number, the version, what tells of the machine, and a state dict.
fn legacy(state_dict: &[u8]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    let version_and_machine = b"\x80\x02M\xe9\x03.\x80\x02}.\x80\x02";
    [&magic[..], version_and_machine, state_dict].concat()
}

/// A file of before PyTorch 1.6 whose fourth pickle is this, and which has no storage.
fn module(program: &[u8]) -> Vec<u8> {
    legacy(&[program, b"\x80\x02]."].concat())
}

/// A module that is its own attribute.
fn module_within_itself() -> Vec<u8> {
    b"c__torch__.net\nNet\n)\x81q\x00}(X\x01\x00\x00\x00ah\x00ub.".to_vec()
}

/// Modules each of which is two attributes of the next, so that paths double with each.
fn shared_modules(count: u8) -> Vec<u8> {
    let mut program = b"c__torch__.net\nNet\n)\x81q\x000".to_vec();
    for next in 1..=count {
        program.extend(b"c__torch__.net\nNet\n)\x81}(");
        for name in [b'a', b'b'] {
            program.extend([b'X', 1, 0, 0, 0, name, b'h', next - 1]);
        }
        program.extend([b'u', b'b', b'q', next, b'0']);
    }
    program.extend([b'h', count, b'.']);
    program
}

/// The deflated file, which says of its pickle that it is of 256 MiB.
fn large_when_unpacked() -> Vec<u8> {
    let mut bytes = data("deflated.bin");
    // Where each kind of header has the length and the name.
    for (mark, length, name) in [(b"PK\x03\x04", 22, 30), (b"PK\x01\x02", 24, 46)] {
        let begins = |at: &usize| {
            let named = bytes[*at..].get(name..);
            bytes[*at..].starts_with(mark)
                && named.is_some_and(|n| n.starts_with(b"some/other folder/data.pkl"))
        };
        let at = (0..bytes.len()).find(begins).unwrap() + length;
        bytes[at..at + 4].copy_from_slice(&(256u32 << 20).to_le_bytes());
    }
    bytes
}

#[test]
fn the_tensors_of_a_torchscript_module_are_called_by_their_paths() {
    let checkpoint = open_pickle(&data("script.pt")).unwrap();
    assert_eq!(checkpoint.shape("weight"), Some(&[2, 3][..]));
    assert_eq!(checkpoint.shape("bias"), Some(&[2][..]));
    assert_eq!(checkpoint.names().count(), 2);
    let weight = checkpoint.take("weight", &[2, 3], Init::Zeros);
    let _ = checkpoint.take("bias", &[2], Init::Zeros);
    checkpoint.finish().unwrap();
    assert!(weight.abs().max().double_value(&[]) > 0.0);
}

#[test]
fn entries_that_are_no_tensors_are_passed_over() {
    // The state dict in the second is `model`, without a name for it that PyTorch's users agreed on.
    for name in ["epoch.bin", "within.bin"] {
        let checkpoint = open_pickle(&data(name)).unwrap();
        assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["weight"]);
    }
    for n in 1..=5 {
        let checkpoint = open_pickle(&data(&format!("beside{n}.bin"))).unwrap();
        assert_eq!(checkpoint.names().count(), 12, "protocol {n}");
    }
}

#[test]
fn storages_of_the_first_versions_may_share_their_numbers() {
    // A view of two numbers from the second on, in a storage of three. Python 2 wrote the entries of a dict as lists, and
    // strings as bytes.
    let tensor = b"ctorch._utils\n_rebuild_tensor\n((U\x07storagectorch.cuda\nFloatStorage\nU\x011U\x06cuda:0K\x03\
                   (U\x01vK\x01K\x02ttQK\x00K\x02\x85K\x01\x85tR";
    let dict = [&b"ccollections\nOrderedDict\n]]U\x01wa"[..], tensor, b"aa\x85R."];
    let mut file = legacy(&dict.concat());
    file.extend(b"\x80\x02]U\x011a.");
    file.extend(3u64.to_le_bytes());
    file.extend([1.0f32, 2.0, 3.0].map(f32::to_le_bytes).concat());
    let checkpoint = open_pickle(&file).unwrap();
    let taken = checkpoint.take("w", &[2], Init::Zeros);
    checkpoint.finish().unwrap();
    assert_eq!(Vec::<f32>::try_from(taken).unwrap(), [2.0, 3.0]);
    file.truncate(file.len() - 1);
    assert!(open_pickle(&file).is_err());
}

#[test]
fn no_damage_to_a_file_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let tensors = [named("w", numbers(&[2, 3])), named("steps", Tensor::from_slice(&[1i64]))];
    save_safetensors(&path, &tensors, Kind::Half).unwrap();
    let files = [
        ("a.safetensors", std::fs::read(&path).unwrap()),
        ("a.bin", data("nested.bin")),
        ("a.bin", data("protocol4.bin")),
        ("a.bin", data("legacy.bin")),
        ("a.bin", data("beside4.bin")),
        ("a.bin", data("deflated.bin")),
        ("a.pt", data("script.pt")),
    ];
    let mut generator = noise::Generator::new(7);
    let mut refused = 0;
    for (name, whole) in &files {
        for round in 0..2500 {
            let mut bytes = whole.clone();
            for _ in 0..=round % 4 {
                let at = generator.below(bytes.len() as u64) as usize;
                match generator.below(4) {
                    0 => bytes[at] = generator.below(256) as u8,
                    1 => bytes[at] ^= 1 << generator.below(8),
                    2 => {
                        bytes[at] = [0, 0xff, b'(', b'.', b'{', b'"', 0x85, b'R']
                            [generator.below(8) as usize]
                    }
                    _ if round % 8 == 0 => bytes.truncate(at.max(1)),
                    _ => bytes[at] = bytes[at].wrapping_add(1),
                }
            }
            match Checkpoint::from_bytes(name, &bytes, "a model", Device::Cpu, Kind::Float) {
                Ok(checkpoint) => {
                    // Whatever was read can be used, up to the last number.
                    let names: Vec<String> = checkpoint.names().map(str::to_owned).collect();
                    for name in names {
                        let shape = checkpoint.shape(&name).unwrap().to_vec();
                        let _ = checkpoint
                            .take(&name, &shape, Init::Zeros)
                            .sum(Kind::Float)
                            .double_value(&[]);
                    }
                }
                Err(error) => {
                    assert!(error.to_string().starts_with(name), "{error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 2000, "only {refused} of 17500 damaged files were refused");
}
