//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::tool::Tool;
use crate::tree::Tree;

/// Lifeboat beside tar, restic, Borg and rustic, in one run: time, processor, memory, bytes.
///
/// Prints the medians and the targets; everything that was measured is in report.json.
#[derive(Debug, Parser)]
#[command(name = "bench", max_term_width = 110)]
pub struct Options {
    /// Trees to back up
    #[arg(long, value_delimiter = ',', value_name = "TREE,…", default_values = ["root", "small", "image"])]
    pub trees: Vec<Tree>,
    /// Tools to measure [default: all; gzip and pigz on the Debian root only]
    #[arg(long, value_delimiter = ',', value_name = "TOOL,…")]
    pub tools: Vec<Tool>,
    /// How many times each tool does each work
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub rounds: u32,
    /// Add rounds to those of earlier runs instead of replacing them
    #[arg(long)]
    pub add: bool,
    /// Smaller trees, for trying the program: a share of their size. Has its own folder and report
    #[arg(long, default_value_t = 1.0, value_name = "SHARE", value_parser = share)]
    pub scale: f64,
    /// Empty the page cache before each command
    #[arg(long)]
    pub cold: bool,
    /// Folder for trees, repositories and the report
    #[arg(long, default_value = "target/bench", value_name = "DIR")]
    pub home: PathBuf,
    /// The `lifeboat` to measure [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    pub lifeboat: Option<PathBuf>,
    /// Measure nothing: print the report that is there
    #[arg(long)]
    pub show: bool,
    /// Measure nothing: write the report that is there into this document, between its marks
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("a share is more than 0 and at most 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_the_whole_can_be_named() {
        let options =
            Options::parse_from(["bench", "--trees", "small", "--tools", "lifeboat,tar-zstd", "--scale", "0.02"]);
        assert_eq!(options.trees, [Tree::Small]);
        assert_eq!(options.tools, [Tool::Lifeboat, Tool::TarZstd]);
        assert!(Options::try_parse_from(["bench", "--scale", "2"]).is_err());
        assert_eq!(Options::parse_from(["bench"]).trees, [Tree::Root, Tree::Small, Tree::Image]);
    }
}
