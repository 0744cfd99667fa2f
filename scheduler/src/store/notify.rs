//! Messages of the database, on a connection of their own: one of the pool's would be lost to it for ever.

use sqlx::postgres::{PgListener, PgPoolOptions};

use super::{Store, StoreError};

/// Channels that are listened to.
pub struct Notifications {
    listener: PgListener,
}

impl Store {
    /// Listens to channels.
    pub async fn listen(&self, channels: &[&str]) -> Result<Notifications, StoreError> {
        let options = (*self.pool.connect_options()).clone();
        let own =
            PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None).connect_lazy_with(options);
        let during = || StoreError::during("listening");
        let mut listener = PgListener::connect_with(&own).await.map_err(during())?;
        listener.listen_all(channels.iter().copied()).await.map_err(during())?;
        Ok(Notifications { listener })
    }
}

impl Notifications {
    /// The next message: its channel and its text. `None`: the connection was lost and is made anew, and messages may have been
    /// missed.
    pub async fn next(&mut self) -> Result<Option<(String, String)>, StoreError> {
        let message = self.listener.try_recv().await.map_err(StoreError::during("listening"))?;
        Ok(message.map(|message| (message.channel().to_owned(), message.payload().to_owned())))
    }
}
