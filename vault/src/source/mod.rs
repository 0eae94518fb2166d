//! Reading a live tree: listing it in catalogue order, its metadata, what is left out. Follows no symlink, and never
//! leaves the root. Knows nothing of segments.

mod exclude;
mod inode;
mod walk;

pub use exclude::Exclusion;
pub use inode::{FLAGS_KEPT, is_acl_alias};
pub(crate) use inode::{Facts, each_extent, extents_of, facts_of, project_of, read_link, set_project, take_attributes};
pub(crate) use walk::{Found, Walk, open_beneath};
