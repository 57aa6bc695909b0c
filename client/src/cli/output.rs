//! The only place that writes to the terminal.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::ValueEnum;
use serde::Serialize;

use super::{error::Error, exit::Kind, view::Show};

/// For whom the output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables for people
    Human,
    /// JSON for programs
    Json,
}

/// Writes results; a reader that stops reading is an error to be returned, never a panic.
pub(crate) struct Output {
    format: Format,
    writer: Box<dyn Write>,
}

impl Output {
    /// Writes there.
    pub(crate) fn to(format: Format, writer: impl Write + 'static) -> Self {
        Self {
            format,
            writer: Box::new(writer),
        }
    }

    /// Writes a whole result: one document, or text.
    pub(crate) fn show(&mut self, view: &(impl Show + Serialize)) -> Result<(), Error> {
        match self.format {
            Format::Human => self.write(&view.human()),
            Format::Json => {
                let mut document = serde_json::to_string_pretty(view)?;
                document.push('\n');
                self.write(&document)
            }
        }
    }

    /// Writes one step of what is watched: one line of JSON, or text; empty text is left out.
    pub(crate) fn step(&mut self, view: &(impl Show + Serialize)) -> Result<(), Error> {
        match self.format {
            Format::Human => self.write(&view.human()),
            Format::Json => {
                let mut line = serde_json::to_string(view)?;
                line.push('\n');
                self.write(&line)
            }
        }
    }

    /// Writes text as it is.
    pub(crate) fn write(&mut self, text: &str) -> Result<(), Error> {
        self.writer.write_all(text.as_bytes())?;
        self.writer.flush()?;
        Ok(())
    }
}

/// Tells that the command line could not be read, or shows the help that was asked for.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // Nobody is left to be told when the terminal is closed.
    let _closed = error.print();
    if error.use_stderr() {
        ExitCode::from(Kind::Usage.exit_code())
    } else {
        ExitCode::SUCCESS
    }
}

/// Tells on standard error why a command did not end well.
pub(crate) fn failure(error: &Error, format: Format) -> ExitCode {
    if error.kind != Kind::OutputClosed {
        let text = match format {
            Format::Human => error.human(),
            Format::Json => error
                .json()
                .map_or_else(|_| error.human(), |line| line + "\n"),
        };
        // Nobody is left to be told when the terminal is closed.
        let _closed = io::stderr().write_all(text.as_bytes());
    }
    ExitCode::from(error.kind.exit_code())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_output_ends_quietly() {
        let mut output = Output::to(Format::Human, Closed);
        let error = output.write("text").expect_err("nobody reads");
        assert_eq!(error.kind, Kind::OutputClosed);
    }
}
