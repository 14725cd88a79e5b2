//! Image embeddings as sequences of whole numbers (2204.06125, section 2.2): their first principal components, each cut
//! into buckets.
//!
//! The buckets of a component hold equally many of the embeddings that they were measured on. So each code is used
//! equally often, none of them is wasted on values that hardly occur, and a network that knows nothing needs all of
//! log2 K bits a code: whatever it needs less, it has learned. A code stands for the mean of its bucket, which of all
//! values has the smallest squared error.

use layers::{Init, Params};
use tch::{Device, Kind, Tensor};

use crate::Pca;

/// The quantiser, in f32: N of the E components, K buckets each.
pub struct Codes {
    /// `[E]`
    mean: Tensor,
    /// The components that are kept, by falling variance, `[N, E]`.
    components: Tensor,
    /// Between the buckets of each component, rising, `[N, K - 1]`.
    edges: Tensor,
    /// What each code stands for, `[N, K]`.
    values: Tensor,
    /// Between the buckets of the closeness of picture and caption, rising, `[K - 1]`.
    closeness_edges: Tensor,
}

impl Codes {
    /// Takes the quantiser of embeddings of width `embedding` with `dimensions` components and `buckets` each.
    pub fn new(p: &Params, embedding: i64, dimensions: i64, buckets: i64) -> Self {
        let edges = buckets - 1;
        Self {
            mean: p.take("mean", &[embedding], Init::Zeros),
            components: p.take("components", &[dimensions, embedding], Init::Zeros),
            edges: p.take("edges", &[dimensions, edges], Init::Zeros),
            values: p.take("values", &[dimensions, buckets], Init::Zeros),
            closeness_edges: p.take("closeness_edges", &[edges], Init::Zeros),
        }
    }

    /// Measures the buckets on `embeddings [S, E]`, whose components are `pca`'s and whose closeness to their captions is
    /// `closeness [S]`. There are at least as many embeddings as `buckets`.
    pub fn fit(
        pca: &Pca,
        embeddings: &Tensor,
        closeness: &Tensor,
        dimensions: i64,
        buckets: i64,
    ) -> Self {
        let count = embeddings.size()[0];
        assert!(count >= buckets, "{count} embeddings fill {buckets} buckets");
        let components = pca.components.narrow(0, 0, dimensions);
        let embeddings = embeddings.to_kind(Kind::Float).to_device(Device::Cpu);
        let along = (embeddings - &pca.mean).matmul(&components.tr()); // [S, N]
        let sorted = along.tr().contiguous().sort(1, false).0; // [N, S]
        let parts: Vec<Tensor> = (0..buckets)
            .map(|k| {
                let (first, end) = (count * k / buckets, count * (k + 1) / buckets);
                let bucket = sorted.narrow(1, first, end - first).to_kind(Kind::Double);
                bucket.mean_dim([1i64].as_slice(), false, Kind::Double) // [N]
            })
            .collect();
        let closeness = closeness.to_kind(Kind::Float).to_device(Device::Cpu);
        let closeness = closeness.sort(0, false).0.unsqueeze(0); // [1, S]
        Self {
            mean: pca.mean.copy(),
            components: components.copy(),
            edges: edges(&sorted, buckets),
            values: Tensor::stack(&parts, 1).to_kind(Kind::Float),
            closeness_edges: edges(&closeness, buckets).squeeze_dim(0),
        }
    }

    /// The same on `device`, over the same memory where it lies there already.
    pub fn to_device(&self, device: Device) -> Self {
        let moved = |tensor: &Tensor| tensor.to_device(device);
        Self {
            mean: moved(&self.mean),
            components: moved(&self.components),
            edges: moved(&self.edges),
            values: moved(&self.values),
            closeness_edges: moved(&self.closeness_edges),
        }
    }

    /// N, how many codes an embedding has.
    pub fn dimensions(&self) -> i64 {
        self.values.size()[0]
    }

    /// K, how many values a code has.
    pub fn buckets(&self) -> i64 {
        self.values.size()[1]
    }

    /// Its tensors with the names that [`Codes::new`] takes.
    pub fn tensors(&self) -> [(String, Tensor); 5] {
        [
            ("mean", &self.mean),
            ("components", &self.components),
            ("edges", &self.edges),
            ("values", &self.values),
            ("closeness_edges", &self.closeness_edges),
        ]
        .map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()))
    }

    /// The codes of embeddings, `[B, E] -> [B, N]` from 0 to K - 1; what lies beyond the outermost edges has the
    /// outermost codes.
    pub fn encode(&self, embeddings: &Tensor) -> Tensor {
        let along = self.along(embeddings).tr().contiguous(); // [N, B]
        bucket_of(&self.edges, &along).tr().contiguous()
    }

    /// The embeddings that codes stand for, `[B, N] -> [B, E]` in f32.
    pub fn decode(&self, codes: &Tensor) -> Tensor {
        let values = self.values.gather(1, &codes.tr().contiguous(), false).tr(); // [B, N]
        &self.mean + values.matmul(&self.components)
    }

    /// Embeddings `[B, E]` with nothing left but the components that are kept, not quantised.
    pub fn truncate(&self, embeddings: &Tensor) -> Tensor {
        &self.mean + self.along(embeddings).matmul(&self.components)
    }

    /// The mean of all embeddings that it was measured on, `[E]`.
    pub fn mean(&self) -> &Tensor {
        &self.mean
    }

    /// The codes of closenesses, `[B] -> [B]` from 0 to K - 1.
    pub fn encode_closeness(&self, closeness: &Tensor) -> Tensor {
        let closeness = closeness.to_kind(Kind::Float);
        bucket_of(&self.closeness_edges, &closeness.contiguous())
    }

    /// Values along the components, `[B, E] -> [B, N]`.
    fn along(&self, embeddings: &Tensor) -> Tensor {
        (embeddings.to_kind(Kind::Float) - &self.mean).matmul(&self.components.tr())
    }
}

/// How many bits a code takes of a model that knows how often each value of it occurs and nothing else: the mean entropy of
/// the columns of `codes [S, N]` from 0 to `buckets` - 1.
pub fn unigram_bits(codes: &Tensor, buckets: i64) -> f64 {
    let shares = codes.one_hot(buckets).to_kind(Kind::Double); // [S, N, K]
    let shares = shares.mean_dim([0i64].as_slice(), false, Kind::Double); // [N, K]
    let terms = &shares * shares.clamp_min(f64::MIN_POSITIVE).log2();
    -terms.sum(Kind::Double).double_value(&[]) / codes.size()[1] as f64
}

/// How close pictures are to captions: the cosines of their embeddings, `[B, E] -> [B]` in f32. The paper's dot product is
/// that of unit vectors.
pub fn closeness(images: &Tensor, texts: &Tensor) -> Tensor {
    let float = |x: &Tensor| x.to_kind(Kind::Float);
    Tensor::cosine_similarity(&float(images), &float(texts), 1, 1e-8)
}

/// The edges that cut each row of `sorted [R, S]` into equally full buckets, halfway between neighbours: `[R, K - 1]`.
fn edges(sorted: &Tensor, buckets: i64) -> Tensor {
    let count = sorted.size()[1];
    let firsts: Vec<i64> = (1..buckets).map(|k| count * k / buckets).collect();
    let firsts = Tensor::from_slice(&firsts);
    let above = sorted.index_select(1, &firsts);
    let below = sorted.index_select(1, &(firsts - 1));
    (above + below) / 2.0
}

/// How many edges a value has reached: `edges [.., K - 1]`, `[.., B] -> [.., B]`.
fn bucket_of(edges: &Tensor, values: &Tensor) -> Tensor {
    values.searchsorted(edges, false, true, "right", None::<&Tensor>)
}
