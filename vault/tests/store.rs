//! The stores, held to one contract. Those that need a server are held to it by the tests that start one (`builder/tests`).

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

mod contract;

use std::sync::Arc;

use vault::FolderStore;

#[test]
fn a_folder_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    contract::holds(&|| Arc::new(FolderStore::new(folder.path())));
}

#[cfg(feature = "object-store")]
mod bucket {
    use std::fmt;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::stream::BoxStream;
    use object_store::memory::InMemory;
    use object_store::path::Path;
    use object_store::{
        CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
        PutOptions, PutPayload, PutResult, Result,
    };
    use vault::{BucketStore, Kind, Store as _};

    #[test]
    fn object_storage_keeps_the_contract_below_any_prefix() {
        for prefix in ["", "vault", "deep/er/vault/"] {
            let memory: Arc<InMemory> = Arc::default();
            super::contract::holds(&|| Arc::new(BucketStore::new(memory.clone(), prefix).unwrap()));
        }
    }

    #[test]
    fn a_server_that_ignores_conditions_is_found_out_and_nothing_is_overwritten() {
        let careless = Arc::new(Odd::new(Oddity::IgnoresConditions));
        let store = BucketStore::new(careless, "vault").unwrap();
        let _lock = store.lock().unwrap();
        store.write_new("object", b"one").unwrap();
        assert_eq!(store.write_new("object", b"two").unwrap_err().kind(), Kind::Invalid);
        assert_eq!(store.read("object", 9).unwrap(), b"one");
        store.append("log", b"a").unwrap();
        store.append("log", b"b").unwrap();
        assert_eq!(store.read("log", 9).unwrap(), b"ab");
    }

    #[test]
    fn a_write_whose_answer_was_lost_is_known_again_and_is_no_conflict() {
        let deaf = Arc::new(Odd::new(Oddity::LosesAnswers));
        let store = BucketStore::new(deaf, "vault").unwrap();
        store.write_new("object", b"one").unwrap();
        assert_eq!(store.read("object", 9).unwrap(), b"one");
        assert_eq!(store.write_new("object", b"two").unwrap_err().kind(), Kind::Invalid);
        assert_eq!(store.read("object", 9).unwrap(), b"one");
    }

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Oddity {
        /// Takes every write.
        IgnoresConditions,
        /// Does what it is told, and every second time says that it failed.
        LosesAnswers,
    }

    /// Storage with a habit.
    #[derive(Debug)]
    struct Odd(InMemory, Oddity, AtomicU32);

    impl Odd {
        fn new(oddity: Oddity) -> Self {
            Odd(InMemory::new(), oddity, AtomicU32::new(0))
        }
    }

    impl fmt::Display for Odd {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{:?}", self.1)
        }
    }

    #[async_trait::async_trait]
    impl ObjectStore for Odd {
        async fn put_opts(&self, path: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
            if self.1 == Oddity::IgnoresConditions {
                options.mode = object_store::PutMode::Overwrite;
            }
            let done = self.0.put_opts(path, payload, options).await?;
            if self.1 == Oddity::LosesAnswers && self.2.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
                return Err(object_store::Error::Generic { store: "odd", source: "connection reset".into() });
            }
            Ok(done)
        }
        async fn put_multipart_opts(&self, path: &Path, o: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
            self.0.put_multipart_opts(path, o).await
        }
        async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
            self.0.get_opts(path, options).await
        }
        fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
            self.0.delete_stream(paths)
        }
        fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
            self.0.list(prefix)
        }
        async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
            self.0.list_with_delimiter(prefix).await
        }
        async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
            self.0.copy_opts(from, to, options).await
        }
    }
}
