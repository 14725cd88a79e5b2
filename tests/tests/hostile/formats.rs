//! Every format that is read: sound files of it, how a damaged one is made whole enough to be looked into, and its reader.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageFormat, RgbImage, RgbaImage};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::mutator::{generator, mutate, mutate_text};
use crate::pickles::data;

/// A reader's result: the contents in the form that independent readers are held to, or a sentence.
pub(crate) type Verdict = Result<String, String>;

/// A format.
pub(crate) struct Format {
    /// Its name.
    pub name: &'static str,
    /// The ending of its files.
    pub ending: &'static str,
    sound: fn() -> Vec<Vec<u8>>,
    damage: fn(&mut Vec<u8>, &[Vec<u8>], &mut ChaCha8Rng),
    /// The reader of a file, which lies in a folder of its own.
    pub read: fn(&Path) -> Verdict,
}

/// All of them.
pub(crate) const FORMATS: [Format; 18] = [
    Format {
        name: "safetensors",
        ending: "safetensors",
        sound: safetensors,
        damage: mutate,
        read: tensors,
    },
    Format { name: "torch", ending: "bin", sound: archives, damage: damage_archive, read: tensors },
    Format {
        name: "torch before 1.6",
        ending: "bin",
        sound: || vec![data("legacy.bin")],
        damage: mutate,
        read: tensors,
    },
    Format {
        name: "pickles",
        ending: "bin",
        sound: pickles,
        damage: damage_archive,
        read: tensors,
    },
    Format { name: "npy", ending: "npy", sound: arrays, damage: mutate, read: array },
    Format { name: "png", ending: "png", sound: pngs, damage: damage_png, read: image },
    Format { name: "jpeg", ending: "jpg", sound: jpegs, damage: mutate, read: image },
    Format {
        name: "webp",
        ending: "webp",
        sound: || encoded(ImageFormat::WebP),
        damage: mutate,
        read: image,
    },
    Format {
        name: "gif",
        ending: "gif",
        sound: || encoded(ImageFormat::Gif),
        damage: mutate,
        read: image,
    },
    Format {
        name: "png texts",
        ending: "png",
        sound: || pngs().split_off(2),
        damage: damage_png,
        read: text,
    },
    Format { name: "tar", ending: "tar", sound: shards, damage: mutate, read: samples },
    configuration(
        "decoder",
        || vec![config("decoder/config.json")],
        |path| component(path, "decoder", "config.json"),
    ),
    configuration(
        "prior",
        || vec![config("prior/config.json")],
        |path| component(path, "prior", "config.json"),
    ),
    configuration(
        "image_encoder",
        || vec![config("image_encoder/config.json")],
        |path| component(path, "image_encoder", "config.json"),
    ),
    configuration(
        "decoder_scheduler",
        || vec![config("decoder_scheduler/scheduler_config.json")],
        |path| component(path, "decoder_scheduler", "scheduler_config.json"),
    ),
    configuration(
        "feature_extractor",
        || vec![config("feature_extractor/preprocessor_config.json")],
        |path| component(path, "feature_extractor", "preprocessor_config.json"),
    ),
    configuration(
        "tokenizer",
        || vec![config("tokenizer/tokenizer.json")],
        |path| component(path, "tokenizer", "tokenizer.json"),
    ),
    Format {
        name: "metadata",
        ending: "jsonl",
        sound: metadata,
        damage: mutate_text,
        read: captions,
    },
];

impl Format {
    /// The format of a case, and the bytes of its file.
    pub(crate) fn of_case(case: u64) -> (&'static Self, Vec<u8>) {
        let format = &FORMATS[(case % FORMATS.len() as u64) as usize];
        let mut rng = generator(case);
        let sound = (format.sound)();
        let mut bytes = sound[rng.random_range(0..sound.len())].clone();
        (format.damage)(&mut bytes, &sound, &mut rng);
        (format, bytes)
    }

    /// Its sound files.
    pub(crate) fn sound(&self) -> Vec<Vec<u8>> {
        (self.sound)()
    }
}

// Sound files.

fn normal(shape: &[i64], seed: u64) -> Tensor {
    let count = shape.iter().product::<i64>() as usize;
    Tensor::from_slice(&noise::Generator::new(seed).normal(count)).view(shape)
}

/// The bytes of a file that `write` writes.
fn written(ending: &str, write: impl FnOnce(&Path)) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file").with_extension(ending);
    write(&path);
    fs::read(path).unwrap()
}

fn safetensors() -> Vec<Vec<u8>> {
    let tensors = [
        ("weight".to_owned(), normal(&[4, 3], 1)),
        ("bias".to_owned(), normal(&[4], 2)),
        ("ids".to_owned(), Tensor::from_slice(&[1i64, 2, 3])),
    ];
    let save = |kind| {
        written("safetensors", |path| {
            ::weights::save_safetensors(path, &tensors, kind).unwrap();
        })
    };
    vec![save(Kind::Float), save(Kind::Half), save(Kind::BFloat16)]
}

fn archives() -> Vec<Vec<u8>> {
    ["nested.bin", "epoch.bin", "zip64.bin"].map(data).to_vec()
}

/// Files that torch reads with `weights_only=False` alone, as what lies beside their tensors is of other classes.
fn pickles() -> Vec<Vec<u8>> {
    [
        "protocol4.bin",
        "deflated.bin",
        "flat.bin",
        "beside1.bin",
        "beside2.bin",
        "beside3.bin",
        "beside4.bin",
        "beside5.bin",
    ]
    .map(data)
    .to_vec()
}

fn arrays() -> Vec<Vec<u8>> {
    let vector = normal(&[24], 3);
    vec![::weights::npy(&vector), ::weights::npy(&vector.to_kind(Kind::Half))]
}

fn picture() -> RgbImage {
    RgbImage::from_fn(21, 17, |x, y| image::Rgb([(x * 12) as u8, (y * 15) as u8, (x * y) as u8]))
}

fn transparent() -> RgbaImage {
    RgbaImage::from_fn(16, 16, |x, y| {
        image::Rgba([(x * 16) as u8, (y * 16) as u8, 99, (x * y) as u8])
    })
}

/// Pictures without and with transparency.
pub(crate) fn pictures() -> [DynamicImage; 2] {
    [DynamicImage::ImageRgb8(picture()), DynamicImage::ImageRgba8(transparent())]
}

fn encoded(format: ImageFormat) -> Vec<Vec<u8>> {
    let encode = |picture: DynamicImage| {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    pictures().map(encode).to_vec()
}

fn pngs() -> Vec<Vec<u8>> {
    let mut files = encoded(ImageFormat::Png);
    for depth in [png::BitDepth::Eight, png::BitDepth::Sixteen] {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 13, 11);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(depth);
        let texts = "a caption of some words, again and again. ".repeat(9);
        encoder.add_ztxt_chunk("unclip".to_owned(), texts.clone()).unwrap();
        encoder.add_text_chunk("parameters".to_owned(), texts.clone()).unwrap();
        encoder.add_itxt_chunk("Title".to_owned(), texts).unwrap();
        let mut writer = encoder.write_header().unwrap();
        let width = if depth == png::BitDepth::Sixteen { 26 } else { 13 };
        let pixels: Vec<u8> = (0..11 * width).map(|at| (at * 7) as u8).collect();
        writer.write_image_data(&pixels).unwrap();
        writer.finish().unwrap();
        files.push(bytes);
    }
    files
}

fn jpegs() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/jpeg");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "jpg"))
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn shards() -> Vec<Vec<u8>> {
    let picture = encoded(ImageFormat::Png).swap_remove(0);
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, bytes).unwrap();
    };
    for key in ["0001", "0002"] {
        add(&format!("{key}.png"), &picture);
        add(&format!("{key}.txt"), b"a red house");
        add(&format!("{key}.json"), br#"{"caption": "a red house", "width": 21}"#);
    }
    add(&format!("{}.png", "long".repeat(50)), &picture);
    add(&format!("{}.txt", "long".repeat(50)), b"a long name");
    vec![builder.into_inner().unwrap()]
}

/// The configuration of a component.
const fn configuration(
    component: &'static str,
    sound: fn() -> Vec<Vec<u8>>,
    read: fn(&Path) -> Verdict,
) -> Format {
    Format { name: component, ending: "json", sound, damage: mutate_text, read }
}

fn config(name: &str) -> Vec<u8> {
    fs::read(crate::pipeline::model("deep").join(name)).unwrap()
}

fn metadata() -> Vec<Vec<u8>> {
    let json = r#"{"file_name": "0001.png", "text": "a red house"}
{"file_name": "0002.png", "text": "a blue house", "width": 21, "seen": true}
{"file_name": "0003.png", "text": ["a red ship", "a ship"]}
"#;
    let csv = "file_name,text,width\n0001.png,a red house,21\n0002.png,\"a blue, old house\",21\n";
    vec![json.into(), csv.into()]
}

// Damage that leaves checksums right, so that more than those is met.

fn damage_png(bytes: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut ChaCha8Rng) {
    mutate(bytes, others, rng);
    if rng.random() {
        repair_png(bytes);
    }
}

/// Gives every chunk the checksum that it should have.
fn repair_png(bytes: &mut [u8]) {
    let mut at = 8;
    while let Some(head) = bytes.get(at..at + 8) {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let end = at + 8 + length;
        if end + 4 > bytes.len() {
            return;
        }
        let sum = crc32fast::hash(&bytes[at + 4..end]);
        bytes[end..end + 4].copy_from_slice(&sum.to_be_bytes());
        at = end + 4;
    }
}

fn damage_archive(bytes: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut ChaCha8Rng) {
    let is_archive = bytes.starts_with(b"PK");
    if !is_archive || rng.random_range(0..3) == 0 {
        return mutate(bytes, others, rng);
    }
    let mut members = unzipped(bytes);
    // Nothing of a tensor lies in `version` and its like, which torch reads too.
    let of_tensors: Vec<usize> = (0..members.len())
        .filter(|&at| members[at].0.contains("data") && !members[at].0.contains(".data"))
        .collect();
    let program = of_tensors.iter().position(|&at| members[at].0.ends_with("data.pkl"));
    let chosen = match (rng.random_range(0..3), program) {
        (1.., Some(program)) => of_tensors[program],
        _ => of_tensors[rng.random_range(0..of_tensors.len())],
    };
    match rng.random_range(0..12) {
        0 => members[chosen].0.push('x'),
        1 => drop(members.remove(chosen)),
        2 => {
            let (name, bytes) = members[chosen].clone();
            members.push((name.replacen('/', "x/", 1), bytes));
        }
        _ => mutate(&mut members[chosen].1, &[], rng),
    }
    // No archive has a name twice here; tests/tests/archives.rs has such ones.
    match zipped(&members) {
        Ok(archive) => *bytes = archive,
        Err(_) => mutate(bytes, others, rng),
    }
}

fn unzipped(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let count = archive.len();
    let read = |at| {
        let mut member = archive.by_index(at).unwrap();
        let mut bytes = Vec::new();
        std::io::copy(&mut member, &mut bytes).unwrap();
        (member.name().to_owned(), bytes)
    };
    (0..count).map(read).collect()
}

fn zipped(members: &[(String, Vec<u8>)]) -> zip::result::ZipResult<Vec<u8>> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in members {
        writer.start_file(name.as_str(), stored)?;
        writer.write_all(bytes)?;
    }
    Ok(writer.finish()?.into_inner())
}

// Readers.

/// An error and its causes in one line, as the command prints them.
fn sentence(error: impl std::error::Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !sentence.contains(&said) {
            sentence += &format!(": {said}");
        }
        cause = error.source();
    }
    let words: Vec<&str> = sentence.split_whitespace().collect();
    words.join(" ").replace(char::is_control, "\u{fffd}")
}

/// Names, types, shapes and numbers in the order of the names, as a checksum of them.
fn tensors(path: &Path) -> Verdict {
    let mut tensors = ::weights::load_safetensors(path).map_err(sentence)?;
    tensors.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut sum = crc32fast::Hasher::new();
    for (name, tensor) in &tensors {
        let kind = match tensor.kind() {
            Kind::Float => "F32",
            Kind::Half => "F16",
            Kind::BFloat16 => "BF16",
            Kind::Double => "F64",
            Kind::Int64 => "I64",
            Kind::Int => "I32",
            Kind::Int16 => "I16",
            Kind::Int8 => "I8",
            Kind::Uint8 => "U8",
            Kind::Bool => "BOOL",
            other => panic!("{name} is {other:?}"),
        };
        let shape: Vec<String> = tensor.size().iter().map(i64::to_string).collect();
        sum.update(format!("{name}\0{kind}\0{}\0", shape.join(",")).as_bytes());
        sum.update(&bytes_of(tensor));
    }
    Ok(format!("{} {:08x}", tensors.len(), sum.finalize()))
}

fn bytes_of(tensor: &Tensor) -> Vec<u8> {
    let flat = tensor.contiguous().view([-1]);
    let flat = match tensor.kind() {
        Kind::Bool => flat.to_kind(Kind::Uint8),
        _ => flat.view_dtype(Kind::Uint8),
    };
    Vec::try_from(flat).unwrap()
}

fn array(path: &Path) -> Verdict {
    let array = ::weights::load_embeddings(path).map_err(sentence)?;
    let shape: Vec<String> = array.size().iter().map(i64::to_string).collect();
    let sum = crc32fast::hash(&bytes_of(&array.to_kind(Kind::Float)));
    Ok(format!("{} {sum:08x}", shape.join(",")))
}

/// The size, and the means of 4 x 4 parts a channel.
fn image(path: &Path) -> Verdict {
    let image = images::read_image(path).map_err(sentence)?.image;
    let (width, height) = image.dimensions();
    let mut means = Vec::new();
    for row in 0..4 {
        for column in 0..4 {
            let part = |of: u32, n: u32| (n * of / 4)..((n + 1) * of / 4).max(n * of / 4 + 1);
            let mut sums = [0u64; 3];
            let mut count = 0;
            for y in part(height, row) {
                for x in part(width, column) {
                    let pixel = image.get_pixel(x, y).0;
                    sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += u64::from(value));
                    count += 1;
                }
            }
            means.extend(sums.map(|sum| format!("{:02x}", (2 * sum + count) / (2 * count))));
        }
    }
    Ok(format!("{width}x{height} {}", means.concat()))
}

fn text(path: &Path) -> Verdict {
    let bytes = fs::read(path).unwrap();
    let found = images::png_text::find_text(&bytes, "unclip");
    let found = found.map_err(|error| format!("{}: {}", path.display(), sentence(error)))?;
    let text = found.ok_or_else(|| format!("{} says nothing", path.display()))?;
    Ok(format!("{:08x}", crc32fast::hash(text.as_bytes())))
}

fn samples(path: &Path) -> Verdict {
    let data = ::training::Data::open(&[path], false).map_err(sentence)?;
    Ok(data.captions(10).len().to_string())
}

/// Opens a component with this file for its configuration.
fn component(path: &Path, name: &str, file: &str) -> Verdict {
    let copy = path.with_file_name(name);
    crate::pipeline::copy_folder(&crate::pipeline::model("deep").join(name), &copy);
    fs::copy(path, copy.join(file)).unwrap();
    let folder = ::weights::Folder::open(&copy).unwrap();
    let (device, kind) = (Device::Cpu, Kind::Float);
    let opened = match name {
        "decoder" => families::open_decoder(&folder, device, kind).map(drop),
        "feature_extractor" => families::open_image_processor(&folder).map(drop),
        "image_encoder" => families::open_image_encoder(&folder, device, kind).map(drop),
        "prior" => families::open_prior(&folder, device, kind).map(drop),
        "decoder_scheduler" => families::open_scheduler(&folder).map(drop),
        _ => families::open_tokenizer(&folder).map(drop),
    };
    fs::remove_dir_all(&copy).unwrap();
    opened.map_err(|error| renamed(sentence(error), &copy, path))?;
    Ok("opened".to_owned())
}

/// A sentence about a copy as one about the file.
fn renamed(sentence: String, copy: &Path, path: &Path) -> String {
    sentence.replace(&copy.display().to_string(), &path.display().to_string())
}

fn captions(path: &Path) -> Verdict {
    let folder = path.parent().unwrap().join("pictures");
    fs::create_dir_all(&folder).unwrap();
    for name in ["0001.png", "0002.png", "0003.png"] {
        picture().save(folder.join(name)).unwrap();
    }
    let bytes = fs::read(path).unwrap();
    let ending = if bytes.first() == Some(&b'{') { "jsonl" } else { "csv" };
    fs::write(folder.join("metadata").with_extension(ending), bytes).unwrap();
    let opened = ::training::Data::open(&[&folder], false).map_err(sentence);
    fs::remove_dir_all(&folder).unwrap();
    let data = opened.map_err(|sentence| renamed(sentence, &folder, path))?;
    Ok(data.captions(10).len().to_string())
}
