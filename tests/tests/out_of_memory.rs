//! Too little memory: an error that says so, after which the same pipeline goes on.

use kernels::OutOfMemory;
use kernels::memory::{catch, require};
use pipeline::{ErrorKind, Silent};
use tch::{Device, Kind, Tensor};

use crate::pipeline::{few_steps, open};

#[test]
fn failed_allocations_are_known_by_their_messages() {
    let cpu = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to \
               allocate 331776 bytes. Error code 12 (Cannot allocate memory)";
    let gpu = "CUDA out of memory. Tried to allocate 2.25 GiB. GPU 0 has a total capacity of 139.80 GiB of which";
    for (message, sentence) in [
        (cpu, "there is too little memory here: 331776 bytes more were asked for"),
        (gpu, "there is too little memory on the GPU: 2.25 GiB more were asked for"),
        (
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling",
            "there is too little memory on the GPU",
        ),
        ("std::bad_alloc", "there is too little memory here"),
        ("could not create a primitive", "there is too little memory here"),
        (
            "unable to mmap 864 bytes from file <a>: Cannot allocate memory (12)",
            "there is too little memory here",
        ),
    ] {
        let failure = OutOfMemory::from_message(message).expect(message);
        assert_eq!(failure.to_string(), sentence);
    }
    for other in ["mat1 and mat2 shapes cannot be multiplied", "CUDA error: invalid argument", ""] {
        assert_eq!(OutOfMemory::from_message(other), None, "{other}");
    }
}

#[test]
fn an_allocation_that_fails_is_an_error_and_another_panic_is_none() {
    let failed = catch(|| Tensor::zeros([1 << 50], (Kind::Float, Device::Cpu)));
    let sentence = failed.unwrap_err().to_string();
    assert!(sentence.contains(&(1u64 << 52).to_string()), "{sentence}");
    let failed = catch(|| require::<f32>(1 << 55));
    assert!(failed.unwrap_err().to_string().contains(&(1u64 << 57).to_string()));
    assert_eq!(catch(|| require::<f32>(100)), Ok(()));
    let other = std::panic::catch_unwind(|| catch(|| panic!("a defect")));
    assert_eq!(other.unwrap_err().downcast_ref::<&str>(), Some(&"a defect"));
}

#[test]
fn a_pipeline_outlives_a_request_that_memory_has_no_room_for() {
    let pipeline = open("deep");
    let quiet = &mut Silent;
    let before = pipeline.generate("a house", &[1], &few_steps(), quiet).unwrap();
    let text = pipeline.encode_text(&["a house"]).unwrap();
    // One picture, seen as many: the stand-in takes no memory, and what is computed of it would take petabytes.
    let small = Tensor::zeros([1, 3, 16, 16], (Kind::Float, Device::Cpu));
    let small = small.expand([1 << 40, -1, -1, -1], false);
    let embedding = text.embedding.expand([1 << 40, -1], false);
    for error in [
        pipeline.upsample(&small, &few_steps(), &mut [], quiet).unwrap_err(),
        pipeline.decode(&embedding, &text, &few_steps(), &mut [], quiet).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Machine, "{error}");
        let sentence = error.to_string();
        for word in ["too little memory", "bytes more", "bf16 takes half"] {
            assert!(sentence.contains(word), "{word} is not in: {sentence}");
        }
    }
    let after = pipeline.generate("a house", &[1], &few_steps(), quiet).unwrap();
    assert!(before == after, "what failed changed what is drawn later");
}
