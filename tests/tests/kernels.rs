//! Convolutions by other ways than libtorch's usual one.

use decoder::{UNet, UNetConfig};
use kernels::channels_last;
use kernels::{ConvShape, Kernel, KernelTimings, Simd, gemv_by, group_norm_silu, load_timings};
use layers::{Conv2d, Init, Initialiser, Linear, Params};
use noise::Generator;
use tch::{Device, Kind, Tensor};

/// The widths of registers that this processor has.
fn widths() -> impl Iterator<Item = Simd> {
    Simd::ALL.into_iter().filter(|simd| simd.is_available())
}

/// A layer and a picture for it, with the output of libtorch's convolution in f64.
struct Case {
    layer: Conv2d,
    weight: Tensor,
    bias: Tensor,
    x: Tensor,
}

impl Case {
    fn new(batch: i64, inputs: i64, outputs: i64, side: i64, size: i64) -> Self {
        let source = Initialiser::new(1, Device::Cpu, Kind::Float);
        let layer =
            Conv2d::with_init(&Params::root(&source), inputs, outputs, size, Init::Normal(0.1));
        let [(_, weight), (_, mut bias)] = <[_; 2]>::try_from(source.into_parameters()).unwrap();
        let mut generator = Generator::new(2);
        let mut normal = |shape: &[i64]| {
            Tensor::from_slice(&generator.normal(shape.iter().product::<i64>() as usize))
                .view(shape)
        };
        bias.copy_(&normal(&[outputs]));
        let x = normal(&[batch, inputs, side, side]);
        Self { layer, weight, bias, x }
    }

    /// The root of the mean square of what a layer's `output` is off, relative to the output's.
    fn off(&self, output: &Tensor, x: &Tensor) -> f64 {
        let double = |x: &Tensor| x.to_kind(Kind::Double);
        let padding = self.weight.size()[2] / 2;
        let exact = double(x).conv2d(
            &double(&self.weight),
            Some(double(&self.bias)),
            [1, 1],
            [padding; 2],
            [1, 1],
            1,
        );
        let off = (double(output) - &exact).norm() / exact.norm();
        off.double_value(&[])
    }
}

#[test]
fn kernels_agree_with_direct_convolution_at_every_width() {
    // Enough work for it, and just too little; sides, channels and tiles that fill no row of lanes.
    for (batch, inputs, outputs, side) in [(2, 64, 64, 128), (1, 76, 90, 93), (3, 131, 170, 65)] {
        let large = Case::new(batch, inputs, outputs, side, 3);
        let off = large.off(&large.layer.forward(&large.x), &large.x);
        println!("{inputs} to {outputs} at {side}: {off:e}");
        assert!((5e-7..1e-5).contains(&off), "{off:e}");
        for (kernel, simd) in Kernel::ALL.into_iter().flat_map(|k| widths().map(move |s| (k, s))) {
            let output = kernel.convolve_by(simd, &large.x, &large.weight, Some(&large.bias));
            let off = large.off(&output, &large.x);
            println!("{kernel:?}, {simd:?}: {off:e}");
            assert!(off < 5e-6, "{off:e}");
        }
    }
    // Few pixels of many channels, which im2col multiplies.
    for batch in [1, 3] {
        let few = Case::new(batch, 700, 690, 8, 3);
        let off = few.off(&few.layer.forward(&few.x), &few.x);
        assert!(off < 5e-6, "{off:e}");
    }
    let small = Case::new(2, 32, 32, 64, 3);
    let off = small.off(&small.layer.forward(&small.x), &small.x);
    assert!(off < 5e-7, "{off:e}");
}

#[test]
fn kernels_compute_halves_in_f32() {
    let case = Case::new(1, 64, 64, 40, 3);
    let half = |x: &Tensor| x.to_kind(Kind::BFloat16);
    let x = channels_last(&half(&case.x));
    let (weight, bias) = (half(&case.weight), half(&case.bias));
    let rounded = Case {
        weight: weight.shallow_clone(),
        bias: bias.shallow_clone(),
        ..Case::new(1, 64, 64, 40, 3)
    };
    for (kernel, simd) in Kernel::ALL.into_iter().flat_map(|k| widths().map(move |s| (k, s))) {
        let output = kernel.convolve_by(simd, &x, &weight, Some(&bias));
        assert_eq!(output.kind(), Kind::BFloat16);
        assert!(output.permute([0, 2, 3, 1]).is_contiguous());
        let off = rounded.off(&output, &x);
        println!("{kernel:?}: {off:e}");
        assert!((1e-3..2e-3).contains(&off), "{off:e}"); // the output's rounding
    }
}

/// A U-Net of enough channels and pixels that Winograd's kernels are considered, and a batch that no other test has.
#[test]
fn a_network_by_winograd_agrees_with_one_by_direct_convolutions() {
    let config = UNetConfig {
        sample_size: 96,
        in_channels: 6,
        out_channels: 3,
        block_out_channels: vec![64, 128],
        layers_per_block: 2,
        attention: None,
        scale_shift: true,
        norm_groups: 16,
        norm_eps: 1e-5,
    };
    let source = Initialiser::new(3, Device::Cpu, Kind::Float);
    let network = UNet::new(&Params::root(&source), &config);
    let mut generator = Generator::new(4);
    for (_, mut tensor) in source.into_parameters() {
        // What a new network has as 0 would hide what comes before it.
        if tensor.abs().max().double_value(&[]) == 0.0 {
            let normal = Tensor::from_slice(&generator.normal(tensor.numel()));
            tensor.copy_(&(normal * 0.03).view_as(&tensor));
        }
    }
    let x = Tensor::from_slice(&generator.normal(5 * 6 * 96 * 96)).view([5, 6, 96, 96]);
    let timesteps = Tensor::from_slice(&[0i64, 200, 400, 600, 999]);
    let mut shapes = Vec::new();
    for inputs in [6, 64, 128, 192, 256] {
        for outputs in [3, 64, 128] {
            for (side, doubled) in [(96, false), (48, false), (48, true)] {
                shapes.push(ConvShape {
                    batch: 5,
                    inputs,
                    outputs,
                    height: side,
                    width: side,
                    doubled,
                    halves: false,
                });
            }
        }
    }
    let by = |kernel| {
        let seconds = Kernel::ALL.map(|other| if other == kernel { 0.1 } else { 1.0 });
        let trial = |&shape: &ConvShape| KernelTimings { shape, seconds };
        load_timings(shapes.iter().map(trial).collect());
        network.forward(&x, &timesteps, None)
    };
    let direct = by(Kernel::Direct);
    for kernel in [Kernel::WinogradFour, Kernel::WinogradSix] {
        let off: f64 = ((by(kernel) - &direct).norm() / direct.norm()).double_value(&[]);
        println!("{kernel:?}: {off:e}");
        assert!((1e-7..1e-5).contains(&off), "{off:e}");
    }
}

#[test]
fn a_linear_map_of_few_rows_sums_in_f32() {
    let (inputs, outputs) = (1056, 1030); // enough weights, lines of them; outputs that fill no block
    for (kind, most) in [(Kind::Float, 1e-6), (Kind::BFloat16, 2e-3)] {
        let source = Initialiser::new(5, Device::Cpu, kind);
        let layer = Linear::with_init(&Params::root(&source), inputs, outputs, Init::Normal(0.1));
        let [(_, weight), (_, mut bias)] = <[_; 2]>::try_from(source.into_parameters()).unwrap();
        let mut generator = Generator::new(6);
        let mut normal = |shape: &[i64]| {
            let count = shape.iter().product::<i64>() as usize;
            Tensor::from_slice(&generator.normal(count)).view(shape).to_kind(kind)
        };
        bias.copy_(&normal(&[outputs]));
        let double = |x: &Tensor| x.to_kind(Kind::Double);
        for shape in [&[1, inputs][..], &[2, 3, inputs], &[7, inputs], &[12, inputs], &[13, inputs]]
        {
            let x = normal(shape);
            let output = layer.forward(&x);
            let exact = double(&x).linear(&double(&weight), Some(double(&bias)));
            assert_eq!((output.kind(), output.size()), (kind, exact.size()));
            let off = ((double(&output) - &exact).norm() / exact.norm()).double_value(&[]);
            println!("{kind:?} {shape:?}: {off:e}");
            assert!(off < most, "{off:e}");
            for simd in widths().filter(|_| shape != [13, inputs]) {
                let output = gemv_by(simd, &x, &weight, Some(&bias));
                let off = ((double(&output) - &exact).norm() / exact.norm()).double_value(&[]);
                assert!(off < most, "{simd:?}: {off:e}");
                // Beside numbers in f32 weights in bf16 are rounded, and nothing else is.
                let half = weight.to_kind(Kind::BFloat16);
                let x = x.to_kind(Kind::Float);
                let output = gemv_by(simd, &x, &half, None);
                let exact = double(&x).linear(&double(&half), None::<&Tensor>);
                let off = ((double(&output) - &exact).norm() / exact.norm()).double_value(&[]);
                assert!(output.kind() == Kind::Float && off < 1e-6, "{simd:?}: {off:e}");
            }
        }
    }
}

/// Beside numbers in f32 weights in bf16 are rounded, and nothing else is.
#[test]
fn winograd_widens_weights() {
    let case = Case::new(1, 64, 64, 40, 3);
    let weight = case.weight.to_kind(Kind::BFloat16);
    let rounded = Case { weight: weight.shallow_clone(), ..Case::new(1, 64, 64, 40, 3) };
    for (kernel, simd) in Kernel::ALL.into_iter().flat_map(|k| widths().map(move |s| (k, s))) {
        let output = kernel.convolve_by(simd, &case.x, &weight, Some(&case.bias));
        let off = rounded.off(&output, &case.x);
        assert!(output.kind() == Kind::Float && off < 5e-6, "{kernel:?}, {simd:?}: {off:e}");
    }
}

#[test]
fn a_fused_norm_is_one_in_steps() {
    let mut generator = Generator::new(7);
    let mut normal = |shape: &[i64]| {
        let count = shape.iter().product::<i64>() as usize;
        Tensor::from_slice(&generator.normal(count)).view(shape)
    };
    let double = |x: &Tensor| x.to_kind(Kind::Double);
    // Numbers that fill no line and no chunk, some far from 0, and activations at both ends.
    for (batch, channels, side, mean, spread) in [
        (2, 32, 17, 0.0, 1.0),
        (1, 96, 70, 100.0, 1.0),
        (3, 64, 1, -3.0, 2.0),
        (2, 64, 9, 0.0, 60.0),
    ] {
        let x = normal(&[batch, channels, side, side]) + mean;
        let [weight, bias] = [0, 1].map(|_| normal(&[channels]) * spread);
        let [scale, shift] = [0, 1].map(|_| normal(&[batch, channels]));
        for modulation in [None, Some([&scale, &shift])] {
            let norm =
                double(&x).group_norm(16, Some(double(&weight)), Some(double(&bias)), 1e-5, false);
            let exact = match modulation {
                Some([scale, shift]) => {
                    let [scale, shift] =
                        [scale, shift].map(|of| double(of).view([batch, channels, 1, 1]));
                    norm * (scale + 1.0) + shift
                }
                None => norm,
            }
            .silu();
            let output = group_norm_silu(&x, 16, [&weight, &bias], 1e-5, modulation).unwrap();
            let off = ((double(&output) - &exact).norm() / exact.norm()).double_value(&[]);
            println!("{channels} channels at {side}: {off:e}");
            // A number near 100 in f32 is itself off by 4e-6.
            assert!(off < if mean > 10.0 { 1e-5 } else { 1e-6 }, "{off:e}");
        }
    }
    let x = normal(&[1, 32, 4, 4]);
    let [weight, bias] = [normal(&[32]), normal(&[32])];
    let norm = |x: &Tensor| group_norm_silu(x, 16, [&weight, &bias], 1e-5, None);
    assert!(norm(&channels_last(&x)).is_none());
    assert!(norm(&x.to_kind(Kind::BFloat16)).is_none());
    assert!(norm(&x.set_requires_grad(true)).is_none());
}

/// In bf16 and channels-last order, each number is the bf16 next to the exact one, or beside it where that lies between two.
#[test]
fn a_fused_norm_in_bf16_rounds_once() {
    let mut generator = Generator::new(8);
    let mut normal = |shape: &[i64]| crate::diffusion::normal(&mut generator, shape);
    let double = |x: &Tensor| x.to_kind(Kind::Double);
    for (batch, channels, side, mean) in [(1, 48, 5, 0.0), (2, 320, 16, 0.5), (3, 64, 12, -3.0)] {
        let x = channels_last(&(normal(&[batch, channels, side, side]) + mean));
        let x = x.to_kind(Kind::BFloat16);
        let [weight, bias] = [0, 1].map(|_| normal(&[channels]));
        let [scale, shift] = [0, 1].map(|_| normal(&[batch, channels]).to_kind(Kind::BFloat16));
        let norm =
            double(&x).group_norm(16, Some(double(&weight)), Some(double(&bias)), 1e-5, false);
        let [by, beside] = [&scale, &shift].map(|of| double(of).view([batch, channels, 1, 1]));
        let exact = (norm * (by + 1.0) + beside).silu();
        let output = group_norm_silu(&x, 16, [&weight, &bias], 1e-5, Some([&scale, &shift]));
        let output = output.unwrap();
        assert!(output.kind() == Kind::BFloat16 && kernels::is_channels_last(&output));
        let ratio = (double(&output) - &exact).abs() / (exact.abs() + 1e-6);
        let (most, rounded) = (ratio.max().double_value(&[]), 2f64.powi(-8));
        println!("{channels} channels at {side} in bf16: {most:e}");
        assert!(most < 1.05 * rounded, "{most:e}");
    }
    let wrong = channels_last(&normal(&[1, 32, 4, 4])).to_kind(Kind::BFloat16);
    let _ = wrong.narrow(1, 3, 1).fill_(f64::NAN);
    let weight = Tensor::ones([32], (Kind::Float, tch::Device::Cpu));
    let output = group_norm_silu(&wrong, 16, [&weight, &weight], 1e-5, None).unwrap();
    assert_eq!(output.isnan().sum(Kind::Int64).int64_value(&[]), 2 * 16);
}

#[test]
fn a_convolution_of_one_pixel_is_a_matrix_product() {
    let case = Case::new(3, 20, 12, 9, 1);
    let off = case.off(&case.layer.forward(&case.x), &case.x);
    assert!(off < 3e-7, "{off:e}");
    // Nor need the picture lie in one piece.
    let part = case.x.narrow(2, 1, 6).narrow(3, 2, 5);
    let off = case.off(&case.layer.forward(&part), &part);
    assert!(off < 3e-7, "{off:e}");
}

#[test]
fn a_convolution_of_a_doubled_picture_is_a_transposed_one() {
    let case = Case::new(2, 12, 20, 7, 3);
    let x = case.x.narrow(3, 0, 5);
    let doubled = x.upsample_nearest2d([14, 10], None, None);
    let off = case.off(&case.layer.forward_doubled(&x), &doubled);
    assert!(off < 5e-7, "{off:e}");

    // With enough work, Winograd's.
    let case = Case::new(1, 64, 64, 70, 3);
    let doubled = case.x.upsample_nearest2d([140, 140], None, None);
    let off = case.off(&case.layer.forward_doubled(&case.x), &doubled);
    assert!((5e-7..1e-5).contains(&off), "{off:e}");
}

#[test]
fn the_fastest_kernel_beats_the_direct_one_by_a_tenth() {
    let shape = ConvShape {
        batch: 1,
        inputs: 320,
        outputs: 320,
        height: 64,
        width: 64,
        doubled: false,
        halves: false,
    };
    let kernel = |four, six| {
        let seconds = [1.0, 1.5, four, six];
        KernelTimings { shape, seconds }.kernel()
    };
    assert_eq!(kernel(0.5, 0.4), Kernel::WinogradSix);
    assert_eq!(kernel(0.5, 2.0), Kernel::WinogradFour);
    assert_eq!(kernel(0.95, 0.92), Kernel::Direct);
    assert_eq!(kernel(2.0, 1.0), Kernel::Direct);
}

/// An f32 shape of as many channels on both sides.
fn square(side: i64, channels: i64) -> ConvShape {
    ConvShape {
        batch: 1,
        inputs: channels,
        outputs: channels,
        height: side,
        width: side,
        doubled: false,
        halves: false,
    }
}

#[test]
fn the_kernel_goes_by_the_shape() {
    let few_outputs = ConvShape { outputs: 32, ..square(256, 320) };
    let doubled = ConvShape { doubled: true, ..square(32, 640) };
    for (shape, kernel) in [
        (square(8, 1280), Kernel::Im2col),
        (ConvShape { batch: 4, ..square(8, 1280) }, Kernel::WinogradFour),
        (square(16, 1280), Kernel::WinogradFour),
        (square(32, 640), Kernel::WinogradFour),
        (doubled, Kernel::WinogradFour),
        (square(256, 320), Kernel::WinogradSix),
        (few_outputs, Kernel::Direct),
    ] {
        assert_eq!(shape.kernel(true), kernel, "{shape:?}");
        assert_eq!(shape.kernel(false), kernel, "{shape:?}");
    }
    // Where halves are emulated, they are convolved as f32 is.
    for (shape, kernel) in [(few_outputs, Kernel::Direct), (square(256, 320), Kernel::WinogradSix)]
    {
        let halves = ConvShape { halves: true, ..shape };
        assert_eq!(halves.kernel(true), kernel, "{shape:?}");
        assert_eq!(halves.kernel(false), Kernel::Direct, "{shape:?}");
    }
}

/// Times of the kernels relative to the direct one's, for the shapes of Karlo and of small models.
#[test]
#[ignore = "prints a table and judges nothing"]
fn kernels_by_shape() {
    tch::set_num_threads(
        std::thread::available_parallelism().map_or(1, |count| count.get() as i32),
    );
    println!("| side | channels in, out | direct, ms | im2col | 4 x 4 | 6 x 6 | chosen |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (side, channels) in [
        (8, &[(768, 768), (1280, 1280), (2560, 1280)][..]),
        (16, &[(192, 192), (768, 768), (1280, 1280), (2560, 1280)]),
        (32, &[(96, 96), (192, 192), (640, 640), (1280, 640)]),
        (64, &[(48, 48), (96, 96), (192, 96), (320, 320), (640, 320)]),
        (128, &[(48, 48), (80, 32), (96, 96), (192, 192), (320, 320)]),
        (256, &[(32, 16), (32, 32), (64, 64), (128, 128), (320, 320)]),
    ] {
        for &(inputs, outputs) in channels {
            let options = (Kind::Float, Device::Cpu);
            let x = Tensor::randn([1, inputs, side, side], options);
            let weight = Tensor::randn([outputs, inputs, 3, 3], options) * 0.01;
            let mut fastest = [f64::INFINITY; 4];
            for _ in 0..5 {
                for (kernel, fastest) in Kernel::ALL.into_iter().zip(&mut fastest) {
                    let begin = std::time::Instant::now();
                    let _output = kernel.convolve(&x, &weight, None);
                    *fastest = fastest.min(begin.elapsed().as_secs_f64() * 1e3);
                }
            }
            let [direct, im2col, four, six] = fastest;
            let [im2col, four, six] = [im2col, four, six].map(|time| time / direct);
            let shape = ConvShape { inputs, outputs, ..square(side, inputs) };
            let chosen = shape.kernel(true);
            println!(
                "| {side} | {inputs}, {outputs} | {direct:.2} | {im2col:.2} | {four:.2} | {six:.2} | {chosen:?} |"
            );
        }
    }
}
