//! The quantizer of image embeddings (2204.06125, section 2.2): their first principal components, each cut into buckets.
//!
//! The buckets of a component hold equally many of the embeddings that they were measured on. So each code is used
//! equally often, none of them is wasted on values that hardly occur, and an untrained network needs all of log2 K bits a
//! code: whatever it needs less, it has learned. A code stands for the mean of its bucket, which of all
//! values has the smallest squared error.

use layers::{Init, Params};
use tch::{Device, Kind, Tensor};

use crate::Pca;

/// Codes of embeddings and back, in f32: N of the E components, K buckets each.
pub struct EmbeddingQuantizer {
    /// `[E]`
    mean: Tensor,
    /// The components that become codes, by falling variance, `[N, E]`.
    components: Tensor,
    /// The edges between the buckets of each component, rising, `[N, K - 1]`.
    edges: Tensor,
    /// The value of each code, `[N, K]`.
    values: Tensor,
    /// The edges between the buckets of [`image_text_similarity`], rising, `[K - 1]`.
    similarity_edges: Tensor,
}

impl EmbeddingQuantizer {
    /// Takes the quantizer of embeddings of width `embedding` with `dimensions` components and `buckets` each.
    pub fn new(p: &Params, embedding: i64, dimensions: i64, buckets: i64) -> Self {
        let edges = buckets - 1;
        Self {
            mean: p.take("mean", &[embedding], Init::Zeros),
            components: p.take("components", &[dimensions, embedding], Init::Zeros),
            edges: p.take("edges", &[dimensions, edges], Init::Zeros),
            values: p.take("values", &[dimensions, buckets], Init::Zeros),
            similarity_edges: p.take("closeness_edges", &[edges], Init::Zeros),
        }
    }

    /// Measures the buckets on `embeddings [S, E]`, whose components are `pca`'s and whose similarity to their captions is
    /// `similarity [S]`. There are at least as many embeddings as `buckets`.
    pub fn fit(
        pca: &Pca,
        embeddings: &Tensor,
        similarity: &Tensor,
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
        let similarity = similarity.to_kind(Kind::Float).to_device(Device::Cpu);
        let similarity = similarity.sort(0, false).0.unsqueeze(0); // [1, S]
        Self {
            mean: pca.mean.copy(),
            components: components.copy(),
            edges: edges(&sorted, buckets),
            values: Tensor::stack(&parts, 1).to_kind(Kind::Float),
            similarity_edges: edges(&similarity, buckets).squeeze_dim(0),
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
            similarity_edges: moved(&self.similarity_edges),
        }
    }

    /// N, the number of codes of an embedding.
    pub fn dimensions(&self) -> i64 {
        self.values.size()[0]
    }

    /// K, the number of values of a code.
    pub fn buckets(&self) -> i64 {
        self.values.size()[1]
    }

    /// All tensors with the names that [`EmbeddingQuantizer::new`] takes.
    pub fn tensors(&self) -> [(String, Tensor); 5] {
        [
            ("mean", &self.mean),
            ("components", &self.components),
            ("edges", &self.edges),
            ("values", &self.values),
            ("closeness_edges", &self.similarity_edges),
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

    /// The projection of embeddings `[B, E]` onto the components that become codes, not quantised: `[B, E]`.
    pub fn truncate(&self, embeddings: &Tensor) -> Tensor {
        &self.mean + self.along(embeddings).matmul(&self.components)
    }

    /// The mean of all embeddings that the buckets were measured on, `[E]`.
    pub fn mean(&self) -> &Tensor {
        &self.mean
    }

    /// The codes of similarities, `[B] -> [B]` from 0 to K - 1.
    pub fn encode_similarity(&self, similarity: &Tensor) -> Tensor {
        let similarity = similarity.to_kind(Kind::Float);
        bucket_of(&self.similarity_edges, &similarity.contiguous())
    }

    /// Values along the components, `[B, E] -> [B, N]`.
    fn along(&self, embeddings: &Tensor) -> Tensor {
        (embeddings.to_kind(Kind::Float) - &self.mean).matmul(&self.components.tr())
    }
}

/// The bits a code of a unigram model, which knows each code's own frequencies and nothing else: the mean entropy of the
/// columns of `codes [S, N]` from 0 to `buckets` - 1.
pub fn unigram_bits(codes: &Tensor, buckets: i64) -> f64 {
    let shares = codes.one_hot(buckets).to_kind(Kind::Double); // [S, N, K]
    let shares = shares.mean_dim([0i64].as_slice(), false, Kind::Double); // [N, K]
    let terms = &shares * shares.clamp_min(f64::MIN_POSITIVE).log2();
    -terms.sum(Kind::Double).double_value(&[]) / codes.size()[1] as f64
}

/// The dot product `z_i . z_t` of the normalised embeddings of images and captions, on which the prior is conditioned
/// (2204.06125, section 2.2): `[B, E] -> [B]` in f32.
pub fn image_text_similarity(images: &Tensor, texts: &Tensor) -> Tensor {
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

/// The number of edges that a value has reached: `edges [.., K - 1]`, `[.., B] -> [.., B]`.
fn bucket_of(edges: &Tensor, values: &Tensor) -> Tensor {
    values.searchsorted(edges, false, true, "right", None::<&Tensor>)
}
