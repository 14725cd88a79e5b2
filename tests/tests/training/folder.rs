//! Folders of images.

use std::path::{Path, PathBuf};

use tch::Kind;
use training::{Data, Error, Trainer};

use super::{Training, checkpoint, trainer};

/// A folder of 40 scenes with captions in `metadata.jsonl`, of which two pictures are damaged and one line is no JSON.
fn pictures_with_damage(folder: &Path) -> PathBuf {
    let path = folder.join("pictures");
    let export = scenes::Export { count: 40, seed: 5, size: 24, held_out: false };
    crate::scenes::export(&export, &path).unwrap();
    let whole = std::fs::read(path.join("00003.png")).unwrap();
    std::fs::write(path.join("00003.png"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(path.join("00017.png"), "no picture").unwrap();
    let metadata = path.join("metadata.jsonl");
    let mut lines = std::fs::read_to_string(&metadata).unwrap();
    lines.push_str("{\"file_name\": \"00001.png\"\n");
    std::fs::write(&metadata, lines).unwrap();
    path
}

/// The data that a user names by this path.
pub(super) fn open(path: &Path, flip: bool) -> Result<Data, Error> {
    Data::open(&[path.to_str().unwrap().to_owned()], flip)
}

#[test]
fn a_folder_of_pictures_is_learned_from_and_what_is_broken_is_named() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let pictures = pictures_with_damage(folder.path());
    let trainer = |runs: &str, stop_at: Option<u64>| {
        let mut trainer = trainer(folder.path(), runs, Kind::Float, stop_at);
        let data = open(&pictures, true).unwrap();
        trainer.data = data.clone();
        // Enough batches for more than an epoch.
        for run in [&mut trainer.recipe.clip.run, &mut trainer.recipe.decoder.run] {
            (run.steps, run.batch) = (14, 6);
        }
        (trainer, data)
    };
    let (first, data) = trainer("whole", None);
    first.train_tokenizer().unwrap();
    first.train_clip(&mut ()).unwrap();
    let dataset = data.dataset().unwrap();
    let names = dataset.broken().into_iter().map(|(path, _)| path);
    let names: Vec<String> =
        names.map(|path| path.rsplit('/').next().unwrap().to_owned()).collect();
    assert_eq!(names, ["00003.png", "00017.png", "metadata.jsonl, line 41"]);
    assert_eq!(dataset.found(), 41);

    // Two half runs see what one whole run sees, broken pictures and a second epoch included.
    let trainings: [Training; 2] =
        [("clip", Trainer::train_clip), ("decoder", Trainer::train_decoder)];
    for (name, train) in trainings {
        train(&trainer("halves", Some(5)).0, &mut ()).unwrap();
        train(&trainer("halves", None).0, &mut ()).unwrap();
        train(&trainer("whole", None).0, &mut ()).unwrap();
        let [halves, whole] = ["halves", "whole"].map(|runs| checkpoint(folder.path(), runs, name));
        assert!(halves == whole, "{name} differs after a resume");
    }

    // Captions beside pictures, and a table, say the same; nothing else does.
    let beside = folder.path().join("beside");
    std::fs::create_dir_all(beside.join("more")).unwrap();
    for (name, caption) in [("a", "a red cat"), ("more/b", " a blue cat\n"), ("c", "  ")] {
        std::fs::copy(pictures.join("00001.png"), beside.join(format!("{name}.PNG"))).unwrap();
        std::fs::write(beside.join(format!("{name}.txt")), caption).unwrap();
    }
    std::fs::copy(pictures.join("00001.png"), beside.join("d.png")).unwrap();
    let open = |path: &Path| open(path, false);
    let opened = open(&beside).unwrap();
    assert_eq!(opened.captions(9), ["a red cat", "a blue cat"]);
    assert_eq!(opened.dataset().unwrap().broken().len(), 2);
    let table = "text,file_name,size\n\"a cat, red\",a.PNG,3\na dog,more/b.PNG,4\n,c.PNG,1\n";
    std::fs::write(beside.join("metadata.csv"), table).unwrap();
    let opened = open(&beside).unwrap();
    let dataset = opened.dataset().unwrap();
    assert_eq!((dataset.found(), dataset.broken().len()), (3, 1));
    assert_eq!(opened.captions(9), ["a cat, red", "a dog"]);
    std::fs::remove_file(beside.join("metadata.csv")).unwrap();
    for name in ["a.PNG", "more/b.PNG"] {
        std::fs::write(beside.join(name), "").unwrap();
    }
    let message = open(&beside).err().unwrap().to_string();
    assert!(message.contains("none of the 4 pictures"), "{message}");
    assert!(open(&folder.path().join("gone")).is_err());
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    assert!(open(&folder.path().join("empty")).is_err());
}
