/// The nodes of the sections whose things are the kernel's: bridges, VXLAN, addresses, rules.
///
/// They have no ports: the kernel forwards. A node applies its settings, looks after them when devices
/// or routes change (a Wi-Fi access point that is started again is no port of its bridge any more), and
/// takes them back when it goes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/graph.h"
#include "net/sections.h"

namespace warren::net {

class KernelNodeConfig final : public NodeConfig {
 public:
  /// `subject`: the section's name and place in the file. `needs`: devices that others make.
  KernelNodeConfig(std::string_view kind, Located subject, Section section,
                   std::vector<Located> needs)
      : kind_(kind),
        subject_(std::move(subject)),
        section_(std::move(section)),
        needs_(std::move(needs)) {}

  [[nodiscard]] std::string_view kind() const noexcept override { return kind_; }
  [[nodiscard]] bool equals(const NodeConfig& other) const override;
  [[nodiscard]] Result<std::unique_ptr<Node>> create(const std::string& name,
                                                     Loop& loop) const override;

  [[nodiscard]] const Section& section() const noexcept { return section_; }
  /// The device, or what the rules are called.
  [[nodiscard]] const std::string& subject() const noexcept { return subject_.text; }
  [[nodiscard]] const std::string& where() const noexcept { return subject_.where; }
  [[nodiscard]] const std::vector<Located>& needs() const noexcept { return needs_; }
  [[nodiscard]] Settings settings() const;
  /// The same, but that the section says something else.
  [[nodiscard]] std::shared_ptr<const KernelNodeConfig> with(Section section) const {
    return std::make_shared<KernelNodeConfig>(kind_, subject_, std::move(section), needs_);
  }

 private:
  std::string_view kind_;
  Located subject_;
  Section section_;
  std::vector<Located> needs_;
};

/// What `config` says, if it is a section of that kind: section_of<BridgeSection>(*node.config). Null
/// otherwise.
template <class Kind>
[[nodiscard]] const Kind* section_of(const NodeConfig& config) {
  const auto* kernels = dynamic_cast<const KernelNodeConfig*>(&config);
  return kernels == nullptr ? nullptr : std::get_if<Kind>(&kernels->section());
}

/// What the file asks of the kernel and the kernel cannot give: devices that are not there, peers that
/// are this host, names that are taken. One line each, as config's messages. Changes nothing.
/// Devices that nodes of `running` made may be replaced.
[[nodiscard]] Result<> check_kernel(const GraphSpec& spec, const GraphSpec& running = {});

/// What would change, a line for each thing.
[[nodiscard]] Result<std::vector<std::string>> changes(const GraphSpec& spec);

}  // namespace warren::net
