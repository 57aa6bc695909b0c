//! Folders of the cloud that can receive sets: browsing them, and making new ones (R-SET-3).

use uuid::Uuid;

use super::access::Repository;
use super::choice::fault_of;
use super::command::{NewFolder, NodeInfo};
use super::nodes::NodeChoice;
use super::{Error, UserScope};
use crate::domain::access::{Role, Side};
use crate::domain::ids::NodeId;
use crate::domain::limits::DESCRIPTION_BYTES_MAX;
use crate::domain::names::check_name;
use crate::domain::projection::NodeKind;

impl UserScope {
    /// Lists the folders in a folder of a cloud repository, beginning after a node (R-SET-3). The last node that was
    /// looked at comes along while more follow; it need not be a folder. Where the repository has users, they are told as
    /// the account sees them that the caller linked.
    ///
    /// # Errors
    /// [`Error::RepositoryNotFound`], [`Error::InvalidField`], [`Error::AgentOffline`], [`Error::AgentTimeout`],
    /// [`Error::NodeNotFound`].
    pub async fn browse_folders(
        &self,
        repository: &str,
        folder: &NodeChoice,
        after: Option<NodeId>,
        max: usize,
    ) -> Result<(Vec<NodeInfo>, Option<NodeId>), Error> {
        let repository = self.cloud_repository(repository).await?;
        let field = "node_id";
        folder.check(field)?;
        let found = self.resolve(&repository, folder, field).await?;
        if found.missing {
            return Err(Error::NodeNotFound {
                node: folder.text(),
            });
        }
        if found.kind != NodeKind::Folder {
            return Err(Error::invalid(field, "must be a folder"));
        }
        let account = self.account_of(&self.user, &repository).await?;
        let place = (&found.node, after.unwrap_or_default());
        let (mut nodes, more) = self.list_folder(&repository, place, max, field).await?;
        self.show_as(&repository, (&account, field), &mut nodes)
            .await?;
        let last = nodes.last().map(|last| last.node.clone());
        let folders = nodes
            .into_iter()
            .filter(|node| node.kind == NodeKind::Folder && !node.missing)
            .collect();
        Ok((folders, last.filter(|_| more)))
    }

    /// Makes a folder in a folder of a cloud repository; the same request makes one only.
    ///
    /// # Errors
    /// [`Error::RepositoryNotFound`], [`Error::InvalidField`], [`Error::AgentOffline`], [`Error::AgentTimeout`],
    /// [`Error::NodeNotFound`], [`Error::TargetNotUsable`].
    pub async fn create_folder(
        &self,
        repository: &str,
        parent: &NodeChoice,
        folder: &NewFolder,
        request: Option<Uuid>,
    ) -> Result<NodeInfo, Error> {
        self.require(Role::User)?;
        let repository = self.cloud_repository(repository).await?;
        let field = "parent_node_id";
        parent.check(field)?;
        check_new_folder(folder, "")?;
        let account = self.account_of(&self.user, &repository).await?;
        let mut found = self.resolve(&repository, parent, field).await?;
        let asked = std::slice::from_mut(&mut found);
        self.show_as(&repository, (&account, field), asked).await?;
        let node = parent.text();
        if found.missing {
            return Err(Error::NodeNotFound { node });
        }
        if let Some(fault) = fault_of(&found) {
            return Err(Error::TargetNotUsable { node, fault });
        }
        let request = request.unwrap_or_else(Uuid::new_v4);
        let new = (folder, request, account.as_str());
        self.make_folder(&repository, &found.node, new, "folder_name")
            .await
    }

    async fn cloud_repository(&self, repository: &str) -> Result<Repository, Error> {
        let repository = self.repository(repository).await?;
        if repository.side == Side::Cloud {
            Ok(repository)
        } else {
            Err(Error::invalid("repository", "must be a cloud repository"))
        }
    }
}

/// Checks what a new folder is to be called; `field` is where the caller wrote it, empty = at the top.
pub(super) fn check_new_folder(folder: &NewFolder, field: &str) -> Result<(), Error> {
    let at = |part: &str| match field {
        "" if part == "name" => "folder_name".to_owned(),
        "" => part.to_owned(),
        field => format!("{field}.{part}"),
    };
    check_name(&folder.name).map_err(|rule| Error::invalid(at("name"), rule.to_string()))?;
    for (part, text) in [
        ("title", &folder.title),
        ("description", &folder.description),
    ] {
        if text.len() > DESCRIPTION_BYTES_MAX {
            let rule = format!("must be at most {DESCRIPTION_BYTES_MAX} bytes");
            return Err(Error::invalid(at(part), rule));
        }
    }
    Ok(())
}
