//! `unclip serve`: models over HTTP, with a page.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use files::text::excerpt;
use server::{OpenError, OpenedModel, ServeError, ServedModel, Server, ServerOptions, once};
use tch::Device;

use crate::interrupt;
use crate::messages::{say, sentence};
use crate::model::{ComputeArgs, EncoderArgs, ModelArgs, PriorArgs};
use crate::stdout::print_line;
use crate::value_parsers;

pub(crate) const EXAMPLES: &str = "\
Examples:
  unclip serve --open
  unclip serve --model karlo=kakaobrain/karlo-v1-alpha --model builtin:unclip --gallery pictures/
  unclip serve --host 0.0.0.0 --api-key \"$(cat key)\" --public-url https://pictures.example.org

Every flag has a variable: UNCLIP_PORT is --port, UNCLIP_API_KEY is --api-key. docs/server.md has the routes.";

/// The models that are served where the user names none: the first draws, the second paints.
const DEFAULT_MODELS: [&str; 2] = ["builtin:unclip", "builtin:glide"];

/// The names of built-in models begin so.
const BUILT_IN: &str = "builtin:";

/// Pictures that a small model draws at once on a CPU: more at a time hardly save more, and keep others waiting.
const SMALL_BATCH: usize = 4;

/// Pictures that are drawn at once on a GPU.
const GPU_BATCH: usize = 16;

/// Bytes of a megabyte, and pixels of a megapixel.
const MEGA: u64 = 1_000_000;

/// Arguments of `unclip serve`.
#[derive(Args)]
pub(crate) struct Serve {
    /// A model with its name in requests, several times for several: a folder, OWNER/NAME or builtin:unclip [default: both
    /// built-in ones]
    #[arg(long, value_name = "[NAME=]MODEL", value_delimiter = ',', help_heading = "Model")]
    model: Vec<String>,
    /// The most models in memory: the one that was not used for longest goes
    #[arg(long, value_name = "N", default_value = "2", value_parser = value_parsers::at_least_one, help_heading = "Model")]
    models: usize,
    #[command(flatten)]
    prior: PriorArgs,
    #[command(flatten)]
    encoders: EncoderArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Pictures to draw at a time, of one request or of several with equal settings [default: 4 by a built-in model and
    /// else 1; on a GPU 16]
    #[arg(long, value_name = "N", value_parser = value_parsers::batch, help_heading = "Model")]
    batch: Option<usize>,
    /// The port; 0 picks a free one
    #[arg(long, value_name = "N", default_value = "8188")]
    port: u16,
    /// The address; any but this machine's own needs --api-key or --insecure
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    host: IpAddr,
    /// Open the page in a browser
    #[arg(long)]
    open: bool,
    /// A folder that pictures are written to, and that the page shows
    #[arg(long, value_name = "DIR")]
    gallery: Option<PathBuf>,
    /// A folder of pictures that can be searched
    #[arg(long, value_name = "DIR")]
    search: Option<PathBuf>,
    /// Serve what clients of A1111's web UI ask for, under /sdapi
    #[arg(long)]
    a1111: bool,
    /// Refuse fields that nothing is made of, and sizes that are not drawn
    #[arg(long)]
    strict: bool,
    /// Write captions into the log, which UNCLIP_LOG=info shows
    #[arg(long)]
    log_captions: bool,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    bounds: BoundArgs,
}

/// Who may ask.
#[derive(Args)]
#[command(next_help_heading = "Access")]
struct AccessArgs {
    /// The key that clients must send; the variable UNCLIP_API_KEY shows it to nobody
    #[arg(long, value_name = "KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Serve others than this machine without a key
    #[arg(long)]
    insecure: bool,
    /// A name of this server's in requests, besides its address
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    allow_host: Vec<String>,
    /// The one other origin whose pages may ask, as https://example.org
    #[arg(long, value_name = "ORIGIN")]
    cors_origin: Option<String>,
    /// The address of pictures in answers, where a proxy has another than this server
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
}

/// Bounds.
#[derive(Args)]
#[command(next_help_heading = "Bounds")]
struct BoundArgs {
    /// The most requests that wait; others are refused with 429
    #[arg(long, value_name = "N", default_value = "16", value_parser = value_parsers::at_least_one)]
    queue: usize,
    /// The most pictures of a request (n)
    #[arg(long, value_name = "N", default_value = "10", value_parser = value_parsers::at_least_one)]
    max_images: usize,
    /// The most frames of a way
    #[arg(long, value_name = "N", default_value = "60", value_parser = value_parsers::at_least_one)]
    max_frames: usize,
    /// The longest body of a request, in megabytes
    #[arg(long, value_name = "MB", default_value = "50", value_parser = value_parsers::at_least_one)]
    max_upload: usize,
    /// The most pixels of a picture that is sent, in millions
    #[arg(long, value_name = "N", default_value = "64", value_parser = value_parsers::at_least_one)]
    max_megapixels: usize,
    /// The longest time from a request to its answer, in seconds
    #[arg(long, value_name = "S", default_value = "600", value_parser = value_parsers::seconds)]
    deadline: u64,
    /// How long jobs, and pictures under addresses, are kept, in seconds
    #[arg(long, value_name = "S", default_value = "3600", value_parser = value_parsers::seconds)]
    keep: u64,
    /// The most jobs that are kept
    #[arg(long, value_name = "N", default_value = "1000", value_parser = value_parsers::at_least_one)]
    keep_jobs: usize,
    /// The most bytes of pictures that are kept
    #[arg(long, value_name = "BYTES", default_value = "268435456", value_parser = value_parsers::at_least_one)]
    keep_bytes: usize,
    /// The time that is left to requests when the server is told to stop, in seconds
    #[arg(long, value_name = "S", default_value = "30", value_parser = value_parsers::seconds)]
    drain_timeout: u64,
    /// The longest time that a request's body takes to come, in seconds
    #[arg(long, value_name = "S", default_value = "60", value_parser = value_parsers::seconds)]
    body_timeout: u64,
}

impl Serve {
    /// Serves until a signal ends it. Everything that can be refused is refused before it listens.
    pub(crate) fn run(self) -> Result<()> {
        let named: Vec<&str> = match &self.model[..] {
            [] => DEFAULT_MODELS.to_vec(),
            named => named.iter().map(String::as_str).collect(),
        };
        ensure!(
            self.model.len() == 1 || !(self.prior.is_given() || self.encoders.is_given()),
            "--prior, --image-encoder and --text-encoder complete one model, and {} are served: --model MODEL, once, says which",
            named.len()
        );
        let models = named.iter().map(|named| self.served(named)).collect::<Result<Vec<_>>>()?;
        let options = self.options()?;
        let server = Server::bind(options, models).map_err(in_flags)?;
        interrupt::defer();
        let address = format!("http://{}", server.address());
        print_line!("{address}")?;
        if self.open {
            open(&address);
        }
        // A second signal ends it at once.
        server.run(once(interrupt::requested))?;
        Ok(())
    }

    /// A model and its name: that before the equals sign, or the last part of its own.
    fn served(&self, named: &str) -> Result<ServedModel> {
        let (name, model) = match named.split_once('=') {
            Some((name, model)) => (name.to_owned(), model),
            None => {
                let last =
                    named.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
                (last.split('@').next().unwrap_or_default().to_owned(), named)
            }
        };
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        ensure!(
            !name.is_empty() && name.bytes().all(is_fit),
            "--model {}: the name {} is no name for requests, which has letters, digits, dots, dashes and underscores: NAME=MODEL gives one",
            excerpt(named),
            excerpt(&name)
        );
        ensure!(!model.is_empty(), "--model {}: there is no model behind the name", excerpt(named));
        let args = ModelArgs::new(Path::new(model), self.compute.clone());
        let (prior, encoders) = (self.prior.clone(), self.encoders.clone());
        let open = move || {
            let pipeline = args.open(Some(&prior), Some(&encoders))?;
            let record = args.record("serve", None, &pipeline.defaults()?)?;
            let record = args.with_prior(args.with_encoders(record, &encoders)?, &prior)?;
            Ok::<_, anyhow::Error>(OpenedModel { pipeline, record })
        };
        let in_words = |error: anyhow::Error| match error.downcast::<pipeline::Error>() {
            Ok(error) => OpenError::from(error),
            Err(error) => sentence(&error).into(),
        };
        let batch = self.batch.unwrap_or(match self.compute.device()? {
            Device::Cpu if !model.starts_with(BUILT_IN) => 1,
            Device::Cpu => SMALL_BATCH,
            _ => GPU_BATCH,
        });
        Ok(ServedModel { name, batch, open: Box::new(move || open().map_err(in_words)) })
    }

    fn options(&self) -> Result<ServerOptions> {
        let (access, bounds) = (&self.access, &self.bounds);
        for (flag, url) in
            [("--cors-origin", &access.cors_origin), ("--public-url", &access.public_url)]
        {
            let is_url = |url: &&String| url.starts_with("http://") || url.starts_with("https://");
            if let Some(url) = url {
                ensure!(
                    is_url(&url),
                    "{flag} {}: an address begins with http:// or https://",
                    excerpt(url)
                );
            }
        }
        if let Some(origin) = &access.cors_origin {
            let rest = origin.split_once("://").map_or("", |(_, rest)| rest);
            ensure!(
                !rest.is_empty() && !rest.contains('/'),
                "--cors-origin {}: an origin has no path: https://example.org is one",
                excerpt(origin)
            );
        }
        if let Some(key) = &access.api_key {
            let is_fit = |byte: u8| byte.is_ascii_graphic();
            ensure!(
                !key.is_empty() && key.bytes().all(is_fit),
                "--api-key: a key has letters, digits and signs of ASCII without spaces, and this one has others or none"
            );
        }
        Ok(ServerOptions {
            address: SocketAddr::new(self.host, self.port),
            insecure: access.insecure,
            queue: bounds.queue,
            most_images: bounds.max_images,
            most_frames: bounds.max_frames,
            upload_bytes: bounds.max_upload.saturating_mul(MEGA as usize),
            upload_pixels: (bounds.max_megapixels as u64).saturating_mul(MEGA),
            deadline: Duration::from_secs(bounds.deadline),
            keep: Duration::from_secs(bounds.keep),
            keep_jobs: bounds.keep_jobs,
            keep_bytes: bounds.keep_bytes,
            drain_timeout: Duration::from_secs(bounds.drain_timeout),
            body_time: Duration::from_secs(bounds.body_timeout),
            models_in_memory: self.models,
            strict: self.strict,
            api_key: access.api_key.clone(),
            hosts: access.allow_host.clone(),
            cors_origin: access.cors_origin.clone(),
            public_url: access.public_url.clone(),
            gallery: self.gallery.clone(),
            search: self.search.clone(),
            a1111: self.a1111,
            log_captions: self.log_captions,
        })
    }
}

/// The error with the flag that it is about.
fn in_flags(error: ServeError) -> anyhow::Error {
    match &error {
        ServeError::Models(_) | ServeError::Model { .. } => anyhow!("--model: {error}"),
        ServeError::Gallery(_) => anyhow!("--gallery {error}"),
        ServeError::Search(_) => anyhow!("--search {error}"),
        ServeError::Address { .. } => anyhow!("{error}: --port 0 picks a free port"),
        ServeError::NoKey(_) => {
            anyhow!("{error}: --api-key KEY asks for a key, and --insecure serves without one")
        }
        ServeError::System(_) => error.into(),
    }
}

/// Opens an address in the user's browser; says so where there is none.
fn open(address: &str) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = Command::new(program);
    command.arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Err(error) = command.spawn().with_context(|| program.to_owned()) {
        say!("--open: no browser was opened: {error:#}");
    }
}
