//! Convolutions by other ways than libtorch's usual one.

use layers::kernels::{Kernel, Shape, Trial};
use layers::{Conv2d, Init, Initialiser, Params};
use noise::Generator;
use tch::{Device, Kind, Tensor};

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
        let layer = Conv2d::with_init(
            &Params::root(&source),
            inputs,
            outputs,
            size,
            Init::Normal(0.1),
        );
        let [(_, weight), (_, mut bias)] = <[_; 2]>::try_from(source.into_made()).unwrap();
        let mut generator = Generator::new(2);
        let mut normal = |shape: &[i64]| {
            Tensor::from_slice(&generator.normal(shape.iter().product::<i64>() as usize))
                .view(shape)
        };
        bias.copy_(&normal(&[outputs]));
        let x = normal(&[batch, inputs, side, side]);
        Self {
            layer,
            weight,
            bias,
            x,
        }
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
fn winograd_agrees_with_direct_convolution() {
    // Enough work for it, and just too little; sides, channels and tiles that fill no row of lanes.
    for (batch, inputs, outputs, side) in [(2, 64, 64, 128), (1, 76, 90, 93), (3, 131, 170, 65)] {
        let large = Case::new(batch, inputs, outputs, side, 3);
        let off = large.off(&large.layer.forward(&large.x), &large.x);
        println!("{inputs} to {outputs} at {side}: {off:e}");
        assert!((5e-7..1e-5).contains(&off), "{off:e}");
    }
    let small = Case::new(2, 32, 32, 64, 3);
    let off = small.off(&small.layer.forward(&small.x), &small.x);
    assert!(off < 5e-7, "{off:e}");
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
    let shape = Shape {
        batch: 1,
        inputs: 320,
        outputs: 320,
        height: 64,
        width: 64,
        doubled: false,
        halves: false,
    };
    let kernel = |four, six| {
        let seconds = [1.0, four, six];
        Trial { shape, seconds }.kernel()
    };
    assert_eq!(kernel(0.5, 0.4), Kernel::WinogradSix);
    assert_eq!(kernel(0.5, 2.0), Kernel::WinogradFour);
    assert_eq!(kernel(0.95, 0.92), Kernel::Direct);
    assert_eq!(kernel(2.0, 1.0), Kernel::Direct);
}
