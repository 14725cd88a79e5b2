//! Parts of pictures, painted anew.

use std::fs;

use files::digest::sha256;
use image::{GrayImage, Luma, Rgb, RgbImage, Rgba, RgbaImage};

use pipeline::repaint::RESAMPLE;

use super::{CAPTION, Ran, Workplace};

const FEW: [&str; 5] =
    ["--model=model", "--seed=1", "--prior-steps=2", "--decoder-steps=2", "--upsampler-steps=2"];

fn inpaint(place: &Workplace, image: &str, arguments: &[&str]) -> Ran {
    place.run(&[&["inpaint", image, CAPTION], &FEW[..], arguments].concat())
}

fn read(place: &Workplace, name: &str) -> RgbImage {
    image::open(place.path(name)).unwrap().to_rgb8()
}

/// Whether two pictures differ at least at most of the pixels that are `painted`, and at no other.
fn painted_alone(before: &RgbImage, after: &RgbImage, painted: impl Fn(u32, u32) -> bool) {
    assert_eq!(before.dimensions(), after.dimensions());
    let (mut all, mut differing) = (0, 0);
    for ((x, y, before), after) in before.enumerate_pixels().zip(after.pixels()) {
        match painted(x, y) {
            true => {
                all += 1;
                differing += usize::from(before != after);
            }
            false => assert_eq!(before, after, "{x} {y}"),
        }
    }
    assert!(2 * differing > all, "{differing} of {all} are painted");
}

/// A mask of the pictures' size that says to paint 20 x 15 pixels from 10, 12 on.
fn in_mask(x: u32, y: u32) -> bool {
    (10..30).contains(&x) && (12..27).contains(&y)
}

#[test]
fn a_rectangle_is_painted_and_all_else_stays_to_the_byte() {
    let place = Workplace::with_pictures();
    let before = read(&place, "one.png");
    for out in ["a.png", "a.webp"] {
        let out_flag = format!("--out={out}");
        let ran = inpaint(&place, "one.png", &["--mask-rect=10,12,20,15", &out_flag]).succeeds();
        assert_eq!(ran.stdout, format!("{out}\n"));
        painted_alone(&before, &read(&place, out), in_mask);
    }
    let ran = inpaint(&place, "one.png", &["--mask-rect=10,12,20,15"]).succeeds();
    assert_eq!(ran.stdout, "one-inpainted-1.png\n");
    let read_file = |name: &str| fs::read(place.path(name)).unwrap();
    let ran = inpaint(
        &place,
        "one.png",
        &["--mask-rect=10,12,20,15", "-n2", "--grid=grid.png", "--json", "--out=b.png"],
    );
    let lines = ran.succeeds().stdout;
    assert_eq!(lines.lines().count(), 2);
    assert!(lines.contains(r#""command":"inpaint""#), "{lines}");
    assert!(read(&place, "b-0.png") == read(&place, "a.png"));
    assert!(read_file("b-1.png") != read_file("b-0.png"));
    assert!(place.path("grid.png").is_file());
    let ran = inpaint(&place, "one.png", &["--mask-rect=10,12,20,15", "--out=a.jpg"]).succeeds();
    assert!(ran.stderr.contains("a.jpg is a JPEG, which changes pixels"), "{}", ran.stderr);
}

#[test]
fn a_large_picture_with_several_regions_keeps_its_size() {
    let place = Workplace::new();
    let before = RgbImage::from_fn(1000, 700, |x, y| Rgb([(x / 4) as u8, (y / 3) as u8, 99]));
    before.save(place.path("large.png")).unwrap();
    let in_spots = |x: u32, y: u32| {
        (40..240).contains(&x) && (50..150).contains(&y)
            || (700..800).contains(&x) && (500..640).contains(&y)
    };
    let mask = GrayImage::from_fn(1000, 700, |x, y| Luma([if in_spots(x, y) { 255 } else { 0 }]));
    mask.save(place.path("mask.png")).unwrap();
    let ran = inpaint(&place, "large.png", &["--mask=mask.png", "--out=a.png"]).succeeds();
    assert!(ran.stderr.contains("the mask has 2 regions"), "{}", ran.stderr);
    assert!(ran.stderr.contains("a second Ctrl-C at once"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("painted at once"), "{}", ran.stderr);
    painted_alone(&before, &read(&place, "a.png"), in_spots);
    let ran = inpaint(&place, "large.png", &["--mask-rect=0,0,800,20", "--out=b.png"]).succeeds();
    let whole = "the rectangle around the mask's pixels has 800 x 20 pixels, and the picture 1000 x 700: all";
    assert!(ran.stderr.contains(whole), "{}", ran.stderr);
    painted_alone(&before, &read(&place, "b.png"), |x, y| x < 800 && y < 20);
}

#[test]
fn more_regions_than_are_painted_one_by_one_are_named() {
    let place = Workplace::with_pictures();
    let spots = GrayImage::from_fn(400, 400, |x, y| {
        Luma([if x % 40 == 0 && y % 40 == 0 { 255 } else { 0 }])
    });
    spots.save(place.path("spots.png")).unwrap();
    let before = RgbImage::from_pixel(400, 400, Rgb([90, 80, 70]));
    before.save(place.path("plain.png")).unwrap();
    let ran = inpaint(&place, "plain.png", &["--mask=spots.png", "--out=a.png"]).succeeds();
    let words = "the mask has more than 64 regions, which are painted together";
    assert!(ran.stderr.contains(words) && ran.stderr.contains("361 x 361"), "{}", ran.stderr);
}

#[test]
fn masks_are_read_by_their_alpha_or_else_by_their_brightness() {
    let place = Workplace::with_pictures();
    let before = read(&place, "one.png");
    let clear = |x: u32, y: u32, levels: [u8; 2]| levels[usize::from(in_mask(x, y))];
    // Colours say nothing where there is alpha.
    let alpha = RgbaImage::from_fn(50, 40, |x, y| Rgba([255, 255, 255, clear(x, y, [255, 0])]));
    alpha.save(place.path("alpha.png")).unwrap();
    let soft = RgbaImage::from_fn(50, 40, |x, y| Rgba([0, 0, 0, clear(x, y, [128, 127])]));
    soft.save(place.path("soft.webp")).unwrap();
    let white = GrayImage::from_fn(50, 40, |x, y| Luma([clear(x, y, [127, 128])]));
    white.save(place.path("white.png")).unwrap();
    let opaque = RgbaImage::from_fn(50, 40, |x, y| {
        let level = clear(x, y, [0, 255]);
        Rgba([level, level, level, 255])
    });
    opaque.save(place.path("opaque.png")).unwrap();
    let mut first = None;
    for (mask, rule) in [
        ("alpha.png", "alpha.png is read by its transparency"),
        ("soft.webp", "soft.webp is read by its transparency"),
        ("white.png", "white.png is read by its brightness"),
        ("opaque.png", "opaque.png is read by its brightness"),
    ] {
        let ran = inpaint(&place, "one.png", &["--mask", mask, "--out=a.png", "--force"]);
        let ran = ran.succeeds();
        assert!(ran.stderr.contains(rule), "{}", ran.stderr);
        let after = read(&place, "a.png");
        painted_alone(&before, &after, in_mask);
        assert!(*first.get_or_insert(after.clone()) == after, "{mask}");
    }
    let inverted = ["--mask=white.png", "--invert-mask", "--out=inverted.png"];
    let ran = inpaint(&place, "one.png", &inverted).succeeds();
    assert!(ran.stderr.contains("white pixels stay, and all others are painted"), "{}", ran.stderr);
    painted_alone(&before, &read(&place, "inverted.png"), |x, y| !in_mask(x, y));
    let both =
        ["--mask=white.png", "--mask-rect=0,0,5,5", "--mask-rect=40,0,4,4", "--out=both.png"];
    inpaint(&place, "one.png", &both).succeeds();
    painted_alone(&before, &read(&place, "both.png"), |x, y| {
        in_mask(x, y) || x < 5 && y < 5 || (40..44).contains(&x) && y < 4
    });
}

#[test]
fn a_pictures_own_transparency_is_its_mask() {
    let place = Workplace::with_pictures();
    let hole = RgbaImage::from_fn(50, 40, |x, y| {
        Rgba([5 * x as u8, 6 * y as u8, 0, if in_mask(x, y) { 0 } else { 255 }])
    });
    hole.save(place.path("hole.png")).unwrap();
    let ran = inpaint(&place, "hole.png", &["--out=a.png"]).succeeds();
    assert!(ran.stderr.contains("hole.png itself is the mask"), "{}", ran.stderr);
    painted_alone(&read(&place, "one.png"), &read(&place, "a.png"), in_mask);
    // A rectangle is the mask alone.
    let ran = inpaint(&place, "hole.png", &["--mask-rect=0,0,5,5", "--out=b.png"]).succeeds();
    assert!(!ran.stderr.contains("itself"), "{}", ran.stderr);
    let white = "hole.png has transparent pixels: they are white in what is painted";
    assert_eq!(ran.stderr.matches(white).count(), 1, "{}", ran.stderr);
    assert_eq!(read(&place, "b.png")[(20, 20)].0, [255; 3]);
    inpaint(&place, "one.png", &[]).refuses(&[
        "one.png has no transparent",
        "--mask",
        "--outpaint",
    ]);
}

#[test]
fn a_mask_of_another_size_is_resized() {
    let place = Workplace::with_pictures();
    let mask = GrayImage::from_fn(5, 4, |x, _| Luma([if x == 2 { 255 } else { 0 }]));
    mask.save(place.path("mask.png")).unwrap();
    let ran = inpaint(&place, "one.png", &["--mask=mask.png", "--out=a.png"]).succeeds();
    let words = "mask.png has 5 x 4 pixels, and one.png 50 x 40";
    assert!(ran.stderr.contains(words), "{}", ran.stderr);
    let column = |x: u32, _| (20..30).contains(&x);
    painted_alone(&read(&place, "one.png"), &read(&place, "a.png"), column);
}

#[test]
fn a_canvas_grows_and_a_seam_fades_in() {
    let place = Workplace::with_pictures();
    let before = read(&place, "one.png");
    let ran = inpaint(&place, "one.png", &["--outpaint=3,0,12,4", "--out=a.png"]).succeeds();
    assert_eq!(ran.stdout, "a.png\n");
    let after = read(&place, "a.png");
    assert_eq!(after.dimensions(), (65, 44));
    let inside = image::imageops::crop_imm(&after, 3, 0, 50, 40).to_image();
    assert!(inside == before);
    let rect = "--mask-rect=10,12,20,15";
    inpaint(&place, "one.png", &[rect, "--feather=0", "--out=hard.png"]).succeeds();
    inpaint(&place, "one.png", &[rect, "--feather=4", "--out=soft.png"]).succeeds();
    let (hard, soft) = (read(&place, "hard.png"), read(&place, "soft.png"));
    assert!(hard != soft);
    assert_eq!(hard[(20, 19)], soft[(20, 19)]);
    painted_alone(&before, &soft, in_mask);
    let ran = inpaint(&place, "one.png", &[rect, "--feather=100", "--out=wide.png"]).succeeds();
    let words = "--feather 100: a region of the mask is narrower than that";
    assert!(ran.stderr.contains(words) && ran.stderr.contains("over 7 pixels"), "{}", ran.stderr);
    assert_eq!(read(&place, "wide.png")[(20, 19)], hard[(20, 19)]);
}

#[test]
fn nothing_and_everything_is_said() {
    let place = Workplace::with_pictures();
    let flat = |level: u8, name: &str| {
        GrayImage::from_pixel(50, 40, Luma([level])).save(place.path(name)).unwrap();
    };
    flat(0, "black.png");
    flat(255, "white.png");
    inpaint(&place, "one.png", &["--mask=black.png"]).refuses(&[
        "black.png is read by its brightness",
        "as bright as 128",
        "--invert-mask",
    ]);
    inpaint(&place, "one.png", &["--mask=white.png", "--invert-mask"])
        .refuses(&["all of the picture's 50 x 40 pixels, and --invert-mask paints none"]);
    let soft = RgbaImage::from_pixel(50, 40, Rgba([255, 255, 255, 254]));
    soft.save(place.path("soft.png")).unwrap();
    let words = ["soft.png is read by its transparency", "an alpha below 128"];
    inpaint(&place, "one.png", &["--mask=soft.png"]).refuses(&words);
    inpaint(&place, "soft.png", &[]).refuses(&words);
    let dot = GrayImage::from_fn(500, 400, |x, y| Luma([if x + y == 0 { 255 } else { 0 }]));
    dot.save(place.path("small.png")).unwrap();
    let words = "small.png paints 1 of its 500 x 400 pixels, and none is left";
    inpaint(&place, "one.png", &["--mask=small.png"]).refuses(&[words, "50 x 40"]);
    let ran = inpaint(&place, "one.png", &["--mask=white.png", "--out=a.png"]).succeeds();
    assert!(ran.stderr.contains("paints all of the picture"), "{}", ran.stderr);
    RgbImage::from_pixel(1, 1, Rgb([9; 3])).save(place.path("dot.png")).unwrap();
    let ran = inpaint(&place, "dot.png", &["--mask-rect=0,0,1,1", "--out=b.png"]).succeeds();
    assert!(ran.stderr.contains("paints all of the picture"), "{}", ran.stderr);
    assert_eq!(read(&place, "b.png").dimensions(), (1, 1));
}

#[test]
fn a_rectangle_that_leaves_the_picture_is_clipped_and_one_outside_refused() {
    let place = Workplace::with_pictures();
    let ran = inpaint(&place, "one.png", &["--mask-rect=-5,-5,10,10", "--out=a.png"]).succeeds();
    let words = "--mask-rect -5,-5,10,10: a part of it lies outside the picture, which has 50 x 40";
    assert!(ran.stderr.contains(words), "{}", ran.stderr);
    painted_alone(&read(&place, "one.png"), &read(&place, "a.png"), |x, y| x < 5 && y < 5);
    for outside in [
        "50,0,5,5",
        "0,40,5,5",
        "-9,0,9,9",
        "2147483647,0,2147483647,1",
        "4294967295,0,1,1",
        "0,9223372036854775807,1,1",
        "-9223372036854775808,0,9,9",
    ] {
        let flag = format!("--mask-rect={outside}");
        inpaint(&place, "one.png", &[&flag]).refuses(&[outside, "outside", "50 x 40"]);
    }
}

#[test]
fn a_rectangle_counts_in_the_picture_before_it_grows() {
    let place = Workplace::with_pictures();
    inpaint(&place, "one.png", &["--mask-rect=52,0,5,5", "--outpaint=0,0,10,0"])
        .refuses(&["which has 50 x 40 pixels before --outpaint"]);
}

#[test]
fn a_picture_in_the_place_of_the_caption_is_named_as_a_mask() {
    let place = Workplace::with_pictures();
    let ran = place.run(&["inpaint", "one.png", "two.png", "--model=gone"]);
    ran.refuses(&["two.png is a file", "--mask two.png"]);
}

#[test]
fn flags_of_a_prior_that_takes_no_part_are_named() {
    let place = Workplace::with_pictures();
    place.run(&["embed", "--model=model", "two.png", "--out=two.npy"]).succeeds();
    let few = ["--decoder-steps=2", "--upsampler-steps=2", "--model=model"];
    let prior = ["--mask-rect=10,12,20,15", "--prior-steps=2", "--prior-candidates=2"];
    let paint = |arguments: &[&str]| {
        place.run(&[&["inpaint", "one.png"], &few[..], &prior, arguments].concat()).succeeds()
    };
    let words = "warning: nothing comes of --prior-steps, --prior-candidates: ";
    for (arguments, reason) in [
        (&["--out=a.png"][..], "without a caption the prior takes no part"),
        (&["--image-embedding=two.npy", "--out=b.png"], "the image embedding takes the prior's"),
    ] {
        let stderr = paint(arguments).stderr;
        assert!(stderr.contains(&format!("{words}{reason}")), "{stderr}");
    }
    assert!(!paint(&[CAPTION, "--out=c.png"]).stderr.contains("nothing comes of"));
}

#[test]
fn bad_input_is_refused_before_a_model_is_opened() {
    let place = Workplace::with_pictures();
    fs::write(place.path("note.txt"), "words").unwrap();
    let refused = |image: &str, arguments: &[&str], words: &[&str]| {
        let ran = place.run(&[&["inpaint", image, "--model=gone"], arguments].concat());
        ran.refuses(words);
    };
    for rect in [
        "0,0,0,5",
        "0,0,5,0",
        "1,2,3",
        "1,2,3,4,5",
        "a,b,c,d",
        "NaN,0,1,1",
        "1.5,0,2,2",
        "0,0,-3,3",
        "0,0,9999999999,1",
        "99999999999999999999,0,1,1",
        "",
    ] {
        let flag = format!("--mask-rect={rect}");
        refused("one.png", &[&flag], &["--mask-rect", "X,Y,W,H"]);
    }
    for margins in ["0,0,0,0", "-1,0,0,0", "1,2,3", "nan,1,1,1", "99999999999,0,0,0"] {
        let flag = format!("--outpaint={margins}");
        refused("one.png", &[&flag], &["--outpaint", "LEFT,TOP,RIGHT,BOTTOM"]);
    }
    let huge = "--outpaint=4000000000,0,0,4000000000";
    refused("one.png", &[huge], &["--outpaint", "4000000050 x 4000000040 pixels is too large"]);
    let long = inpaint(&place, "one.png", &["--outpaint=100000,0,0,0"]);
    long.refuses(&["--outpaint: a picture of 100050 x 40 pixels", "a square of 100050 x 100050"]);
    let rect = "--mask-rect=1,1,9,9";
    refused("one.png", &[rect, "--feather=-1"], &["--feather", "0 to 1000"]);
    for resample in ["--resample=0", "--resample=1000"] {
        refused("one.png", &[rect, resample], &["--resample", "each step is taken 1 to 100 times"]);
    }
    refused("note.txt", &[rect], &["note.txt is no picture"]);
    refused("one.png", &["--mask=note.txt"], &["--mask: note.txt is no picture"]);
    refused("one.png", &["--mask=gone.png"], &["--mask: cannot read gone.png"]);
    refused("gone.png", &[rect], &["gone.png"]);
    refused("one.png", &["--outpaint=1,1,1,1", "--invert-mask"], &["--invert-mask", "no mask"]);
    refused("one.png", &[rect, "--from=one.png"], &["one.png does not say"]);
}

#[test]
fn a_picture_says_how_it_was_painted_and_is_painted_again() {
    let place = Workplace::with_pictures();
    let mask = GrayImage::from_fn(50, 40, |x, y| Luma([if in_mask(x, y) { 255 } else { 0 }]));
    mask.save(place.path("mask.png")).unwrap();
    let first = ["--mask=mask.png", "--mask-rect=0,0,4,4", "--feather=2", "--out=first.png"];
    inpaint(&place, "one.png", &first).succeeds();
    let record = place.run(&["info", "first.png"]).succeeds().stdout;
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!((&record["command"], &record["caption"]), (&"inpaint".into(), &CAPTION.into()));
    let arguments = &record["told"];
    for (what, name) in [("image", "one.png"), ("mask", "mask.png")] {
        assert_eq!(arguments[what], name);
        let digest = sha256(&fs::read(place.path(name)).unwrap());
        assert_eq!(arguments[format!("{what}_sha256")], digest);
    }
    assert_eq!(record["settings"]["resample"], RESAMPLE);
    assert_eq!(arguments["mask_rects"], serde_json::json!(["0,0,4,4"]));
    assert_eq!((&arguments["feather"], &arguments["outpaint"]), (&2.into(), &().into()));

    let from = |image: &str, arguments: &[&str]| {
        place.run(&[&["inpaint", image, "--model=model", "--from=first.png"], arguments].concat())
    };
    let same = ["--mask=mask.png", "--mask-rect=0,0,4,4", "--feather=2"];
    let ran = from("one.png", &[&same[..], &["--out=again.png"]].concat()).succeeds();
    assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
    let bytes = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(bytes("again.png") == bytes("first.png"));
    let ran = from("two.png", &["--mask=one.png", "--mask-rect=0,0,4,4", "--out=other.png"]);
    let ran = ran.succeeds();
    for words in [
        "in another file, this one may differ",
        "with --mask mask.png, another file: this one may differ",
        "with --feather 2, this one will differ",
    ] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("--mask-rect"), "{}", ran.stderr);
    let ran = from("one.png", &["--mask-rect=0,0,5,5", "--invert-mask", "--out=third.png"]);
    let ran = ran.succeeds();
    for words in [
        "with --mask mask.png, this one will differ",
        "with --mask-rect 0,0,4,4, this one will differ",
        "without --invert-mask, this one will differ",
    ] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    from("one.png", &["--out=no.png"]).refuses(&[
        "one.png has no transparent pixels",
        "--from was painted with --mask mask.png --mask-rect 0,0,4,4 --feather 2",
    ]);
    place.run(&["generate", "--model=model", "--from=first.png"]).refuses(&[
        "--from first.png",
        "inpaint",
        "more than a caption",
    ]);

    // What generate drew lends its caption, seed and settings.
    place.generate(&["--seed=1", "--out=drawn.png", CAPTION]).succeeds();
    let rect = ["--mask-rect=10,12,20,15", "--model=model"];
    let again = ["inpaint", "one.png", "--from=drawn.png", "--out=lent.png"];
    place.run(&[&again[..], &rect].concat()).succeeds();
    inpaint(&place, "one.png", &["--mask-rect=10,12,20,15", "--out=own.png"]).succeeds();
    assert!(read(&place, "lent.png") == read(&place, "own.png"));
    place
        .run(&["variations", "one.png", "--out=v.png", "--model=model", "--decoder-steps=2"])
        .succeeds();
    let again = ["inpaint", "one.png", "--from=v.png", "--out=no.png"];
    place.run(&[&again[..], &rect].concat()).refuses(&["--from v.png", "variations"]);
}

#[test]
fn an_embedding_or_nothing_takes_the_place_of_the_caption() {
    let place = Workplace::with_pictures();
    place.run(&["embed", "--model=model", "two.png", "--out=two.npy"]).succeeds();
    let rect = "--mask-rect=10,12,20,15";
    let paint = |arguments: &[&str]| {
        let few = [rect, "--model=model", "--seed=1", "--decoder-steps=2", "--upsampler-steps=2"];
        place.run(&[&["inpaint", "one.png"], &few[..], arguments].concat())
    };
    let before = read(&place, "one.png");
    let pictures = [
        &["--out=none.png"][..],
        &["", "--out=empty.png"],
        &["--image-embedding=two.npy", "--out=e.png"],
    ];
    let [none, empty, embedding] = pictures.map(|arguments| {
        paint(arguments).succeeds();
        let after = read(&place, arguments.last().unwrap().trim_start_matches("--out="));
        painted_alone(&before, &after, in_mask);
        after
    });
    assert!(none == empty && none != embedding);
    let again = ["inpaint", "one.png", "--model=model", "--from=e.png", rect];
    place.run(&again).refuses(&["--from e.png", "--image-embedding"]);
    let embedding_again = ["--image-embedding=two.npy", "--out=f.png"];
    place.run(&[&again[..], &embedding_again].concat()).succeeds();
    assert!(fs::read(place.path("e.png")).unwrap() == fs::read(place.path("f.png")).unwrap());
}

#[test]
fn a_mask_comes_through_a_pipe() {
    let place = Workplace::with_pictures();
    let mask = GrayImage::from_fn(50, 40, |x, y| Luma([if in_mask(x, y) { 255 } else { 0 }]));
    mask.save(place.path("mask.png")).unwrap();
    let bytes = fs::read(place.path("mask.png")).unwrap();
    let arguments =
        [&["inpaint", "one.png", CAPTION, "--mask=-", "--out=a.png"], &FEW[..]].concat();
    let ran = place.run_with_input(&arguments, &bytes).succeeds();
    assert!(ran.stderr.contains("standard input is read by its brightness"), "{}", ran.stderr);
    painted_alone(&read(&place, "one.png"), &read(&place, "a.png"), in_mask);
}
