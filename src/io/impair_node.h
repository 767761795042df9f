/// A line with an impairment in each direction, as a node with two ports, "a" and "b".
#pragma once

#include "core/node.h"
#include "io/impairment.h"

namespace warren {

/// `[impair.NAME]`. Both directions are impaired alike, by generators of their own.
class ImpairNodeConfig final : public NodeConfig {
 public:
  ImpairNodeConfig(Medium medium, const ImpairmentConfig& impairment)
      : medium_(medium), impairment_(impairment) {}

  [[nodiscard]] std::string_view kind() const noexcept override { return "impair"; }
  [[nodiscard]] bool equals(const NodeConfig& other) const override;
  [[nodiscard]] Result<std::unique_ptr<Node>> create(const std::string& name,
                                                     Loop& loop) const override;
  [[nodiscard]] Medium medium() const noexcept { return medium_; }
  [[nodiscard]] const ImpairmentConfig& impairment() const noexcept { return impairment_; }

 private:
  Medium medium_;
  ImpairmentConfig impairment_;
};

}  // namespace warren
