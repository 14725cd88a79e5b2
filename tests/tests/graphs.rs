//! CUDA graphs: a replay gives what the captured function gives.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use graphs::{CapturedGraph, CudaGraphs, Error, Graph, GraphCache, GraphCapture};
use pipeline::Silent;
use tch::{Cuda, Device, Kind, Tensor, no_grad};

use crate::pipeline::{few_steps, open};

/// A graph that runs the function itself again, over the same memory.
struct Again(Tensor);

impl Graph for Again {
    fn replay(&mut self, f: &dyn Fn() -> Tensor) -> Result<(), Error> {
        self.0.copy_(&f());
        Ok(())
    }
}

/// Makes those, and counts.
#[derive(Clone, Default)]
struct Counting {
    warmed: Arc<AtomicUsize>,
    captured: Arc<AtomicUsize>,
    refuses: bool,
}

impl Counting {
    /// How often it warmed up and captured.
    fn counts(&self) -> (usize, usize) {
        (self.warmed.load(Ordering::Relaxed), self.captured.load(Ordering::Relaxed))
    }
}

impl GraphCapture for Counting {
    fn warm_up(&self, f: &dyn Fn() -> Tensor) -> Result<Tensor, Error> {
        self.warmed.fetch_add(1, Ordering::Relaxed);
        Ok(f())
    }

    fn capture(&self, f: &dyn Fn() -> Tensor) -> Result<(Tensor, Box<dyn Graph>), Error> {
        self.captured.fetch_add(1, Ordering::Relaxed);
        if self.refuses {
            let reason = "out of paper".to_owned();
            return Err(Error::Cuda { device: 0, reason });
        }
        // A capture computes nothing: the output's numbers are anything.
        let output = f().full_like(f64::NAN);
        Ok((output.shallow_clone(), Box::new(Again(output))))
    }
}

fn numbers(values: &[f32]) -> Tensor {
    Tensor::from_slice(values)
}

fn difference(inputs: &[Tensor]) -> Tensor {
    &inputs[0] * 10.0 - &inputs[1]
}

/// A pipeline may move to another thread with what it captured and prefilled.
#[test]
fn graphs_and_caches_are_send() {
    fn assert_send<T: Send>() {}
    assert_send::<GraphCache>();
    assert_send::<Box<dyn GraphCapture>>();
    assert_send::<prior::PrefixCache>();
    assert_send::<decoder::StepConditions>();
}

#[test]
fn a_step_is_replayed_with_what_it_is_given() {
    let [x, kept] = [numbers(&[1., 2.]), numbers(&[0.5, 0.25])];
    let inputs = [x.shallow_clone(), kept.shallow_clone()];
    let mut graph = CapturedGraph::capture(&Counting::default(), &inputs, &difference).unwrap();
    let first = graph.replay(&inputs, &difference).unwrap();
    let others = [numbers(&[3., 4.]), kept.shallow_clone()];
    let second = graph.replay(&others, &difference).unwrap();
    let third = [x, numbers(&[1., 1.])];
    let third = graph.replay(&third, &difference).unwrap();
    // The earlier answers are not written over.
    assert_eq!(first, numbers(&[9.5, 19.75]));
    assert_eq!(second, numbers(&[29.5, 39.75]));
    assert_eq!(third, numbers(&[9., 19.]));
}

#[test]
fn a_function_is_captured_when_it_comes_again_at_the_same_shapes() {
    let (cache, backend) = (GraphCache::default(), Counting::default());
    let run = |values: &[f32]| {
        let inputs = [numbers(values), numbers(&vec![1.; values.len()])];
        let answer = cache.run(&backend, &inputs, &difference);
        assert_eq!(answer, difference(&inputs), "{values:?}");
        backend.counts()
    };
    assert_eq!(run(&[1., 2.]), (1, 0));
    assert_eq!(run(&[3., 4.]), (1, 1));
    assert_eq!(run(&[5., 6.]), (1, 1));
    assert_eq!(run(&[5., 6., 7.]), (2, 1));
    assert_eq!(run(&[1., 2.]), (3, 1));
    assert_eq!(run(&[3., 2.]), (3, 2));
}

#[test]
fn what_cannot_be_captured_is_run_as_it_is() {
    let backend = Counting { refuses: true, ..Counting::default() };
    let cache = GraphCache::default();
    for n in 0..4 {
        let inputs = [numbers(&[n as f32]), numbers(&[1.])];
        let answer = cache.run(&backend, &inputs, &difference);
        assert_eq!(answer, difference(&inputs));
    }
    assert_eq!(backend.counts(), (1, 1));
}

#[test]
fn captured_steps_draw_the_same_pictures() {
    let settings = settings!(few_steps(), prior_steps: 4, decoder_steps: 3, upsampler_steps: 4);
    for name in ["deep", "odd"] {
        let backend = Counting::default();
        let captured = open(name).with_graph_capture(Some(Box::new(backend.clone())));
        let plain = open(name);
        // Captions of two lengths, of which the second comes with other words too.
        let captions = ["a house", "a red house under a blue sky", "a blue house under a red sky"];
        for (seed, caption) in captions.into_iter().enumerate() {
            let [one, other] = [&plain, &captured].map(|pipeline| {
                let seeds = [seed as u64];
                let drawn = pipeline.generate(caption, &seeds, &settings, &mut Silent);
                drawn.unwrap().remove(0)
            });
            assert!(one == other, "{name}: {caption}");
        }
        // The prior and the decoder at each length, the upsampler's two networks once.
        assert_eq!(backend.counts(), (6, 6), "{name}");
    }
}

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

#[test]
fn cuda_graphs_work_where_there_is_a_gpu_and_say_what_is_missing_elsewhere() {
    let graphs = CudaGraphs { device: 0 };
    let f = || Tensor::ones([2], (Kind::Float, Device::Cpu));
    // SAFETY: the name ends in NUL (RTLD_NOW | RTLD_GLOBAL).
    let library = unsafe { dlopen(c"libtorch_cuda.so".as_ptr(), 0x2 | 0x100) };
    let refusals = || {
        let refused = [graphs.warm_up(&f).err(), graphs.capture(&f).err()];
        refused.map(|error| error.expect("there is no GPU").to_string())
    };
    if library.is_null() {
        eprintln!("skipped: this libtorch has no CUDA half");
        for refused in refusals() {
            assert_eq!(refused, "a CUDA graph on cuda:0: libtorch's CUDA half is not loaded");
        }
        return;
    }
    for symbol in graphs::symbols() {
        // SAFETY: the library is open, and the name ends in NUL.
        let found = unsafe { dlsym(library, CStr::as_ptr(symbol)) };
        assert!(!found.is_null(), "{symbol:?}");
    }
    if !Cuda::is_available() {
        eprintln!("skipped: there is no GPU");
        for refused in refusals() {
            assert_eq!(refused, "a CUDA graph on cuda:0: libtorch finds 0 GPUs on this machine");
        }
        return;
    }
    let gpu = Device::Cuda(0);
    let cache = GraphCache::default();
    let weight = Tensor::arange(16, (Kind::Float, gpu)).view([4, 4]) / 16.0;
    let f = |inputs: &[Tensor]| (inputs[0].matmul(&weight) + &inputs[1]).silu();
    let kept = Tensor::ones([4], (Kind::Float, gpu));
    for n in 0..4 {
        let x = Tensor::full([3, 4], f64::from(n), (Kind::Float, gpu));
        let inputs = [x, kept.shallow_clone()];
        let answer = no_grad(|| cache.run(&graphs, &inputs, &f));
        assert_eq!(answer, f(&inputs), "run {n}");
    }
}
