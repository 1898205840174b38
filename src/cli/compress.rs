//! `compress` and `decompress`: a file in the probabilities of a model, and back.

use std::fs::File;
use std::io::{BufReader, BufWriter, Cursor, ErrorKind, IsTerminal, Read, Seek, Write, stdin, stdout};
use std::path::PathBuf;

use clap::Args;

use super::failure::{Failure, Outcome};
use super::input::{ModelArg, TextArg};
use super::local::Local;
use super::progress::Progress;
use crate::coding::{Checksum, Frame, FrameHead, Header};
use crate::service::{Compressor, Decompressor, Whole, divide};

#[derive(Args)]
pub(super) struct CompressArgs {
    #[command(flatten)]
    pub model: ModelArg,

    /// The file to read, or `-` for stdin
    #[arg(value_name = "FILE|-", default_value = "-")]
    pub file: PathBuf,

    /// The file to write; by default stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

impl CompressArgs {
    fn input(&self) -> TextArg {
        TextArg { file: self.file.clone() }
    }

    /// Opens the file. What comes from stdin is held in memory, because it is read twice.
    fn open_twice(&self) -> Outcome<Box<dyn Twice>> {
        if self.file.as_os_str() == "-" {
            let mut bytes = Vec::new();
            stdin().lock().read_to_end(&mut bytes)?;
            return Ok(Box::new(Cursor::new(bytes)));
        }
        match File::open(&self.file) {
            Ok(file) => Ok(Box::new(BufReader::new(file))),
            Err(error) => Err(Failure::Failed(format!("`{}`: {error}", self.file.display()))),
        }
    }
}

/// What can be read twice.
trait Twice: Read + Seek {}

impl<T: Read + Seek> Twice for T {}

pub(super) fn compress(args: &CompressArgs) -> Outcome {
    if args.output.is_none() && stdout().is_terminal() {
        let message = "the compressed file would be written to a terminal; `--output FILE` names a file";
        return Err(Failure::Usage(message.to_owned()));
    }
    let local = Local::open(&args.model)?;
    let progress = Progress::new(&args.input());
    let compressor = Compressor::new(&local.service, progress.watch())?;
    let mut input = args.open_twice()?;
    let whole = whole(&mut *input)?;
    input.rewind()?;
    let mut output = Output::create(args.output.clone())?;
    output.write_all(&compressor.header(whole))?;
    let read = local.block_on(compress_all(compressor, &mut *input, &mut output))?;
    if read != whole {
        return Err(Failure::Failed(format!("`{}` changed while it was compressed", args.file.display())));
    }
    output.finish()
}

/// Compresses all that `input` holds, and returns what it was.
async fn compress_all(
    mut compressor: Compressor,
    input: &mut dyn Twice,
    output: &mut Output,
) -> Outcome<Whole> {
    let mut checksum = Checksum::default();
    let mut len = 0;
    let mut buffer = Vec::new();
    loop {
        let room = Frame::GROUP_BYTES - buffer.len();
        (&mut *input).take(room as u64).read_to_end(&mut buffer)?;
        if buffer.is_empty() {
            return Ok(Whole { len, checksum: checksum.finish() });
        }
        let pieces = divide(&buffer);
        output.write_all(&compressor.group(&pieces).await?)?;
        let end = pieces.iter().map(|piece| piece.len()).sum();
        checksum.update(&buffer[..end]);
        len += end as u64;
        buffer.drain(..end);
    }
}

fn whole(input: &mut dyn Twice) -> Outcome<Whole> {
    let mut checksum = Checksum::default();
    let mut len = 0;
    let mut buffer = vec![0; Frame::LEN_MAX];
    loop {
        match input.read(&mut buffer)? {
            0 => return Ok(Whole { len, checksum: checksum.finish() }),
            read => {
                checksum.update(&buffer[..read]);
                len += read as u64;
            }
        }
    }
}

pub(super) fn decompress(args: &CompressArgs) -> Outcome {
    let local = Local::open(&args.model)?;
    let mut input = args.input().open()?;
    let mut header = [0; Header::LEN];
    read_whole(&mut input, &mut header)?;
    let progress = Progress::new(&args.input());
    let mut decompressor = Decompressor::new(&local.service, &header, progress.watch())?;
    let mut output = Output::create(args.output.clone())?;
    progress.advance_bytes(Header::LEN);
    while decompressor.rest() > 0 {
        let frames = read_group(&mut input, decompressor.rest())?;
        progress.advance_bytes(frames.len() * FrameHead::LEN);
        let bytes = local.block_on(decompressor.group(frames))?;
        output.write_all(&bytes)?;
    }
    decompressor.finish()?;
    if input.read(&mut [0])? > 0 {
        let message = "bytes follow the end of the compressed file; it must be the whole input";
        return Err(Failure::Failed(message.to_owned()));
    }
    output.finish()
}

/// The frames of the next group; `left` bytes are still to come out.
fn read_group(input: &mut impl Read, left: u64) -> Outcome<Vec<Frame>> {
    let mut frames: Vec<Frame> = Vec::new();
    let mut len = 0;
    while frames.len() < Frame::GROUP_LEN && len < left {
        let mut head = [0; FrameHead::LEN];
        read_whole(input, &mut head)?;
        let head = FrameHead::read(&head)?;
        let mut code = vec![0; head.code_len()];
        read_whole(input, &mut code)?;
        let frame = head.with_code(code)?;
        len += u64::from(frame.len);
        frames.push(frame);
    }
    Ok(frames)
}

fn read_whole(input: &mut impl Read, bytes: &mut [u8]) -> Outcome {
    input.read_exact(bytes).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => {
            Failure::Failed("the file is damaged or not a compressed file: it ends too early".to_owned())
        }
        _ => error.into(),
    })
}

/// Where the result goes. A file that is not finished is removed.
struct Output {
    to: Box<dyn Write>,
    unfinished: Option<PathBuf>,
}

impl Output {
    fn create(path: Option<PathBuf>) -> Outcome<Self> {
        let Some(path) = path else {
            return Ok(Self { to: Box::new(BufWriter::new(stdout().lock())), unfinished: None });
        };
        match File::create(&path) {
            Ok(file) => Ok(Self { to: Box::new(BufWriter::new(file)), unfinished: Some(path) }),
            Err(error) => Err(Failure::Failed(format!("`{}`: {error}", path.display()))),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> Outcome {
        Ok(self.to.write_all(bytes)?)
    }

    fn finish(mut self) -> Outcome {
        self.to.flush()?;
        self.unfinished = None;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // The failure that ended the command is told; that the file could not be removed would only hide it.
        if let Some(path) = self.unfinished.take() {
            let _ = std::fs::remove_file(path);
        }
    }
}
