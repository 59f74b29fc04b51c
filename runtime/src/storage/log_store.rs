//! Which store the write-ahead logs of some data are in, when they are apart from it.
//!
//! SlateDB does not remember. Opened without its log, a shard would look whole, and what was
//! acknowledged last would be missing from it for ever. So a store that keeps logs gets an id, the
//! catalog of the data says it, and nothing is opened with another store, or with none.

use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};
use uuid::Uuid;

use crate::storage::backend::Storage;
use crate::storage::error::{StorageError, within};

const CHECK: &str = "check the store of the write-ahead logs";
const ID_OBJECT: &str = "log-store";

/// The id of the store of the logs, given to it if it has none. None if there is no such store.
///
/// # Errors
/// [`StorageError::Unavailable`]; [`StorageError::Invalid`] if its id cannot be read.
pub(crate) async fn claim(storage: &Storage) -> Result<Option<Uuid>, StorageError> {
    let Some(store) = storage.log_store() else {
        return Ok(None);
    };
    within(storage.time_limits().request(), CHECK, async {
        let fresh = PutPayload::from(Uuid::new_v4().to_string());
        let options = PutOptions::from(PutMode::Create);
        match store.put_opts(&Path::from(ID_OBJECT), fresh, options).await {
            Ok(_) | Err(Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(StorageError::from_object_store(CHECK, &error)),
        }
        read_id(store.as_ref()).await
    })
    .await
}

/// Checks that the configured store of the logs is the one that the catalog names.
///
/// # Errors
/// [`StorageError::Invalid`] if it is not; [`StorageError::Unavailable`].
pub(crate) async fn check(storage: &Storage, named: Option<Uuid>) -> Result<(), StorageError> {
    let found = match storage.log_store() {
        Some(store) => {
            within(
                storage.time_limits().request(),
                CHECK,
                read_id(store.as_ref()),
            )
            .await?
        }
        None => None,
    };
    let fault = match (storage.log_store(), named) {
        (None, None) => return Ok(()),
        (Some(_), Some(named)) if found == Some(named) => return Ok(()),
        (Some(_), Some(_)) => {
            "the write-ahead logs of this data are in another store than the one that \
             database.wal names: name that one"
        }
        (None, Some(_)) => {
            "the write-ahead logs of this data are in a store of their own: name it in \
             database.wal"
        }
        (Some(_), None) => {
            "the write-ahead logs of this data are with the data, and that was decided when it \
             was created: leave database.wal out"
        }
    };
    Err(StorageError::invalid(CHECK, fault))
}

async fn read_id(store: &dyn ObjectStore) -> Result<Option<Uuid>, StorageError> {
    let read = match store.get(&Path::from(ID_OBJECT)).await {
        Ok(object) => object.bytes().await,
        Err(error) => Err(error),
    };
    let text = match read {
        Ok(text) => text,
        Err(Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(StorageError::from_object_store(CHECK, &error)),
    };
    match Uuid::try_parse_ascii(&text) {
        Ok(id) => Ok(Some(id)),
        Err(error) => Err(StorageError::invalid(
            CHECK,
            format!("its object {ID_OBJECT} holds no id: {error}"),
        )),
    }
}
